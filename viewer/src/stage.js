// The sides of the page and how they are shown: one alone, all beside each other, two with a slider between them, or
// the difference of two. All have the same camera. Whoever changes anything but the camera calls `refresh`.

import { PhotoSide } from "./photo_side.js"
import { SceneSide } from "./scene_side.js"
import { drawDifference, drawOne, drawPanes, drawSlider } from "./drawing.js"

export const MODES = ["one", "beside", "slider", "difference"]
const FRAMES_COUNTED = 30

export class Stage {
  /**
   * @param {import("playcanvas").AppBase} app
   * @param {object} description of the page: scenes, cameras, background
   */
  constructor(app, description) {
    this.app = app
    this.canvas = app.graphicsDevice.canvas
    this.sides = description.scenes.map(scene => new SceneSide(app, scene, description.background))
    const { cameras, background, pictured } = description
    if (cameras.some(camera => camera.photo)) this.sides.push(new PhotoSide(app, background, pictured))
    this.mode = this.sides.length > 1 ? "beside" : "one"
    this.first = 0 // what the slider has on its left, and what a difference is taken from
    this.second = Math.min(1, this.sides.length - 1)
    this.shown = 0
    this.displayed = 0
    this.blinking = false // both of the pair are kept drawn, so that the eye need not wait for the other one
    this.split = 0.5
    this.amplification = 8
    this.pose = null
    this.panes = []
    this.times = []
    this.waiting = []
    this.listeners = []
    app.on("prerender", () => this.beforeFrame())
    app.on("postrender", () => this.compose())
    app.on("frameend", () => this.afterFrame())
  }

  get photo() {
    return this.sides.find(side => side.kind === "photo")
  }

  /** Whether a side can be looked at now; a photo only from its camera. */
  available(side) {
    return side.kind === "scene" || side.address !== null
  }

  /** The two that slider and difference are of; only one of them where the other cannot be looked at now. */
  get pair() {
    return [this.sides[this.first], this.sides[this.second]].filter(side => this.available(side))
  }

  onChange(listener) {
    this.listeners.push(listener)
  }

  refresh() {
    this.layOut()
    this.app.renderNextFrame = true
    this.listeners.forEach(listener => listener(this))
  }

  look(pose) {
    this.pose = pose
    this.sides.forEach(side => side.look(pose))
    this.layOut()
    this.app.renderNextFrame = true
  }

  resize(width, height) {
    this.app.graphicsDevice.resizeCanvas(width, height)
    this.refresh()
  }

  setMode(mode) {
    if (!MODES.includes(mode) || (mode !== "one" && this.sides.length < 2)) return
    if (this.mode === "one" && mode !== "one" && this.shown !== this.first) this.second = this.shown
    this.mode = mode
    this.blinking = false
    this.refresh()
  }

  /** Bring a side to the front: alone, or as the second of two. */
  choose(index) {
    if (!this.sides[index]) return
    this.shown = index
    this.blinking = false
    if (this.mode !== "one" && index !== this.first) this.second = index
    this.refresh()
  }

  /** Swap what is seen for the other one of the two, in place. */
  blink() {
    if (this.sides.length < 2) return
    if (this.mode === "slider") [this.first, this.second] = [this.second, this.first]
    else {
      this.shown = this.shown === this.first ? this.second : this.first
      this.mode = "one"
      this.blinking = true
    }
    this.refresh()
  }

  /** Which sides are drawn, and where: sizes of their pictures and panes in pixels of the canvas. */
  layOut() {
    if (!this.pose) return
    const { width, height } = this.app.graphicsDevice
    const chosen = [...new Set({
      one: [this.sides[this.displayed], this.sides[this.shown], ...(this.blinking ? this.pair : [])],
      beside: this.sides.filter(side => this.available(side)),
    }[this.mode] ?? this.pair)]
    this.sides.forEach(side => { side.drawn = chosen.includes(side) })
    if (this.mode === "beside") {
      const scale = columns =>
        this.pose.frameIn(width / columns, height / Math.ceil(chosen.length / columns)).scale
      const columns = chosen.map((_, index) => index + 1).reduce((best, count) => scale(count) > scale(best) ? count : best, 1)
      const rows = Math.ceil(chosen.length / columns)
      const across = Math.max(1, Math.floor(width / columns)), along = Math.max(1, Math.floor(height / rows))
      this.panes = chosen.map((side, index) => ({
        side, width: across, height: along, left: (index % columns) * across,
        bottom: height - (Math.floor(index / columns) + 1) * along,
      }))
    } else {
      this.panes = chosen.map(side => ({ side, width, height, left: 0, bottom: 0 }))
    }
    this.panes.forEach(pane => pane.side.resize(pane.width, pane.height))
  }

  beforeFrame() {
    if (this.photo?.drawn && this.pose) this.photo.draw()
  }

  compose() {
    if (!this.pose) return
    const device = this.app.graphicsDevice
    const [first, second] = this.pair
    if (this.mode === "beside") drawPanes(device, this.panes.map(pane => pane.side), this.panes)
    else if (this.mode === "one") drawOne(device, this.sides[this.displayed])
    else if (!second) drawOne(device, first)
    else if (this.mode === "slider") drawSlider(device, first, second, this.column)
    else drawDifference(device, first, second, this.amplification)
    this.times.push(performance.now())
    if (this.times.length > FRAMES_COUNTED) this.times.shift()
  }

  /** The column of pixels at which the right side of the slider begins. */
  get column() {
    return Math.round(this.split * this.app.graphicsDevice.width)
  }

  afterFrame() {
    const unsettled = this.sides.filter(side => !side.settled())
    if (this.displayed !== this.shown && !unsettled.includes(this.sides[this.shown])) {
      this.displayed = this.shown // only now, so that nothing half sorted is seen
      this.refresh()
    } else if (!unsettled.length && !this.app.renderNextFrame) {
      this.waiting.splice(0).forEach(resolve => resolve())
    }
  }

  /** Resolves when what is on the canvas is final: everything loaded, sorted and drawn. */
  settle() {
    return new Promise(resolve => { this.waiting.push(resolve) })
  }

  /** Frames a second of what was drawn last, null where nothing moves. */
  get rate() {
    const recent = this.times.filter(time => performance.now() - time < 2000)
    return recent.length < 3 ? null : 1000 * (recent.length - 1) / (recent.at(-1) - recent[0])
  }

  /** What is on the canvas now, as RGBA bytes line by line from the top. */
  pixels() {
    this.compose()
    const { gl, width, height } = this.app.graphicsDevice
    const bytes = new Uint8Array(4 * width * height)
    gl.bindFramebuffer(gl.FRAMEBUFFER, null)
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, bytes)
    const lines = new Uint8Array(bytes.length)
    for (let row = 0; row < height; row++) {
      lines.set(bytes.subarray(4 * width * row, 4 * width * (row + 1)), 4 * width * (height - 1 - row))
    }
    return { width, height, data: lines }
  }
}
