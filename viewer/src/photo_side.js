// The photo of a capture's camera as a side of the page, drawn where the camera's frame lies. It is right from that
// camera only, so there is none once the view has moved on.

import {
  ADDRESS_CLAMP_TO_EDGE, FILTER_LINEAR, FILTER_LINEAR_MIPMAP_LINEAR, PIXELFORMAT_RGBA8, Texture,
} from "playcanvas"
import { drawPhoto } from "./drawing.js"
import { makePicture } from "./scene_side.js"

export class PhotoSide {
  constructor(app, background, name) {
    this.app = app
    this.kind = "photo"
    this.background = background
    this.scene = { name }
    this.ready = true
    this.drawn = false
    this.blank = new Texture(app.graphicsDevice, { name: "no photo", width: 1, height: 1, format: PIXELFORMAT_RGBA8 })
    this.blank.lock().fill(0)
    this.blank.unlock()
    this.texture = null
    this.address = null
    this.failed = null
    this.resize(16, 16)
  }

  resize(width, height) {
    if (this.target?.width === width && this.target.height === height) return
    this.target?.destroyTextureBuffers()
    this.target?.destroy()
    this.target = makePicture(this.app.graphicsDevice, width, height)
  }

  /** Fetch the photo at an address; null for none. */
  async take(address) {
    if (address === this.address) return
    this.address = address
    this.failed = null
    this.texture?.destroy()
    this.texture = null
    if (!address) return
    const bitmap = await this.fetched(address)
    if (address !== this.address) return
    this.texture = new Texture(this.app.graphicsDevice, {
      name: "photo", width: bitmap.width, height: bitmap.height, format: PIXELFORMAT_RGBA8, mipmaps: true,
      minFilter: FILTER_LINEAR_MIPMAP_LINEAR, magFilter: FILTER_LINEAR,
      addressU: ADDRESS_CLAMP_TO_EDGE, addressV: ADDRESS_CLAMP_TO_EDGE,
    })
    this.texture.setSource(bitmap)
    this.app.renderNextFrame = true
  }

  async fetched(address) {
    try {
      const blob = await (await fetch(address)).blob()
      return await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" })
    } catch (error) {
      this.failed = `the photo could not be fetched (${error.message})`
      throw error
    }
  }

  look(pose) {
    this.pose = pose
  }

  draw() {
    drawPhoto(this.app.graphicsDevice, this)
  }

  settled() {
    return !this.drawn || !this.address || this.texture !== null || this.failed !== null
  }
}
