// One scene as a side of the page: its Gaussians on a layer of their own, a camera that sees only them, and a picture
// that the camera draws into. Sides meet only when their pictures are put together, so each is the whole render that
// the scene alone would have.

import {
  ADDRESS_CLAMP_TO_EDGE, Asset, Color, Entity, FILTER_NEAREST, Layer, Mat4, PIXELFORMAT_RGBA16F, PIXELFORMAT_RGBA8,
  Quat, RenderTarget, Texture, TONEMAP_NONE,
} from "playcanvas"

let numbered = 0

/** A picture to draw into: half floats where they can be, as eight bits would be rounded with every Gaussian. */
export function makePicture(device, width, height) {
  const half = device.getRenderableHdrFormat([PIXELFORMAT_RGBA16F], false)
  const colorBuffer = new Texture(device, {
    name: "side", width, height, format: half ?? PIXELFORMAT_RGBA8, mipmaps: false,
    minFilter: FILTER_NEAREST, magFilter: FILTER_NEAREST, addressU: ADDRESS_CLAMP_TO_EDGE, addressV: ADDRESS_CLAMP_TO_EDGE,
  })
  return new RenderTarget({ colorBuffer, depth: false, samples: 1 })
}

export class SceneSide {
  /**
   * @param {import("playcanvas").AppBase} app
   * @param {object} scene as the page's description has it
   * @param {number[]} background
   */
  constructor(app, scene, background) {
    this.app = app
    this.kind = "scene"
    this.ready = false
    this.pose = null
    this.stale = false
    this.layer = new Layer({ name: `scene ${++numbered}` })
    app.scene.layers.pushTransparent(this.layer)
    this.camera = new Entity("camera")
    this.camera.addComponent("camera", {
      clearColor: new Color(...background, 1), layers: [this.layer.id], toneMapping: TONEMAP_NONE, frustumCulling: false,
    })
    this.camera.camera.calculateProjection = matrix => {
      this.pose?.project(matrix.data, this.target.width, this.target.height)
    }
    this.resize(16, 16)
    app.root.addChild(this.camera)
    this.materials = app.systems.gsplat.on("material:created", (material, camera) => {
      if (camera === this.camera.camera.camera) this.describe(material)
    })
    this.show(scene).catch(() => {}) // `failed` says it
  }

  /** Load a scene, and show it in place of the present one once it is there. */
  show(scene) {
    const { url, filename, contents } = scene
    const asset = new Asset(scene.name, "gsplat", { url, filename: filename ?? url.split("/").at(-1), contents })
    this.next = { scene, asset }
    this.scene ??= scene
    this.failed = null
    return new Promise((resolve, reject) => {
      asset.on("progress", (loaded, total) => { this.progress = total ? loaded / total : 0; this.onProgress?.(this) })
      asset.on("error", error => {
        if (this.next?.asset === asset) this.next = null
        this.failed = String(error.message ?? error)
        this.onProgress?.(this)
        reject(new Error(`${scene.name}: ${error}`))
      })
      asset.ready(() => {
        if (this.next?.asset !== asset) return this.forget(asset) // something newer was asked for meanwhile
        this.replaceBy(scene, asset)
        resolve(this)
      })
      this.app.assets.add(asset)
      this.app.assets.load(asset)
    })
  }

  replaceBy(scene, asset) {
    const before = this.entity
    const assetBefore = this.asset
    Object.assign(this, { scene, asset, ready: true, next: null })
    this.entity = new Entity(scene.name)
    this.entity.addComponent("gsplat", { asset, layers: [this.layer.id] })
    this.app.root.addChild(this.entity)
    before?.destroy()
    if (assetBefore) this.forget(assetBefore)
    const material = this.app.systems.gsplat.getMaterial(this.camera.camera.camera, this.layer)
    if (material) this.describe(material)
    this.look(this.pose)
  }

  forget(asset) {
    this.app.assets.remove(asset)
    asset.unload()
  }

  /** Tell the shaders what differs from scene to scene. */
  describe(material) {
    material.setParameter("antialiased", this.scene.antialiased ? 1 : 0)
    material.setParameter("near", this.scene.near)
  }

  resize(width, height) {
    if (this.target?.width === width && this.target.height === height) return
    this.target?.destroyTextureBuffers()
    this.target?.destroy()
    this.target = makePicture(this.app.graphicsDevice, width, height)
    this.camera.camera.renderTarget = this.target
    this.camera.camera.aspectRatio = width / height
  }

  /** @param {import("./pose.js").Pose} pose */
  look(pose) {
    this.pose = pose
    if (!pose) return
    const matrix = new Mat4()
    pose.place(matrix.data, this.scene.origin)
    this.camera.setPosition(matrix.getTranslation())
    this.camera.setRotation(new Quat().setFromMat4(matrix))
    // The engine drops a sort that is asked for while another one runs.
    if (this.sorter?.jobsInFlight) this.stale = true
    this.app.renderNextFrame = true
  }

  set drawn(value) {
    this.camera.enabled = value
  }

  get drawn() {
    return this.camera.enabled
  }

  /** What draws this scene in the engine, which has no public word for it; as in the version in package.json. */
  get manager() {
    const views = this.app.renderer.gsplatDirector.camerasMap.get(this.camera.camera.camera)
    return views?.layersMap.get(this.layer)?.gsplatManager
  }

  get sorter() {
    return this.manager?.cpuSorter
  }

  /** Whether the picture is that of the present camera, its Gaussians sorted for it and all of them loaded. */
  settled() {
    if (!this.drawn || this.failed) return true
    if (!this.ready || this.next) return false
    const { manager, sorter } = this
    if (!sorter || sorter.jobsInFlight > 0 || sorter.pendingSorted) return false
    const { world } = manager
    if (world.currentVersion !== world.lastWorldStateVersion || world.awaitingLodUpdate || world.pendingLoadCount) return false
    if (this.stale) {
      this.stale = false
      manager.sortNeeded = true
      this.app.renderNextFrame = true
      return false
    }
    return true
  }

  destroy() {
    this.materials.off()
    this.entity?.destroy()
    this.camera.destroy()
    this.app.scene.layers.removeTransparent(this.layer)
    if (this.asset) this.forget(this.asset)
    this.target.destroyTextureBuffers()
    this.target.destroy()
  }
}
