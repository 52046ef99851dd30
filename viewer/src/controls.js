// Moving around: pointers, wheel and keys change the pose. Dragging turns around what is looked at, or with `flying`
// around the camera itself; keys move both.

import { add, scaled } from "./pose.js"

const TURN = 0.005 // radians for a pixel
const STEEPEST = 0.99 // sine of the pitch beyond which dragging would tip the picture over
const HELD = new Set(["w", "a", "s", "d", "q", "e", "arrowup", "arrowdown", "arrowleft", "arrowright"])

export class Controls {
  /**
   * @param {HTMLElement} surface that is dragged on
   * @param {number[]} up unit vector in the world
   * @param {(pose: import("./pose.js").Pose) => void} moved called with each new pose
   */
  constructor(surface, up, moved) {
    this.up = up
    this.moved = moved
    this.flying = false
    this.pose = null
    this.pointers = new Map()
    this.held = new Set()
    surface.addEventListener("pointerdown", event => {
      surface.setPointerCapture(event.pointerId)
      this.pointers.set(event.pointerId, event)
    })
    surface.addEventListener("pointermove", event => this.dragged(event))
    for (const name of ["pointerup", "pointercancel"]) {
      surface.addEventListener(name, event => this.pointers.delete(event.pointerId))
    }
    surface.addEventListener("wheel", event => this.wheeled(event), { passive: false })
    surface.addEventListener("contextmenu", event => event.preventDefault())
    window.addEventListener("keydown", event => this.pressed(event))
    window.addEventListener("keyup", event => this.held.delete(event.key.toLowerCase()))
    window.addEventListener("blur", () => this.held.clear())
  }

  change(action) {
    if (!this.pose) return
    const pose = this.pose.copy()
    action(pose)
    this.pose = pose
    this.moved(pose)
  }

  dragged(event) {
    const before = this.pointers.get(event.pointerId)
    if (!before) return
    const across = event.clientX - before.clientX, along = event.clientY - before.clientY
    if (this.pointers.size === 2) {
      const other = [...this.pointers.values()].find(pointer => pointer.pointerId !== event.pointerId)
      const apart = pointer => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY)
      const ratio = (apart(before) + 1) / (apart(event) + 1)
      this.change(pose => {
        this.approach(pose, ratio)
        this.shift(pose, across / 2, along / 2)
      })
    } else if (event.buttons & 6 || event.shiftKey) {
      this.change(pose => this.shift(pose, across, along))
    } else {
      this.change(pose => this.turn(pose, -TURN * across, -TURN * along))
    }
    this.pointers.set(event.pointerId, event)
  }

  turn(pose, yaw, pitch) {
    const act = this.flying ? (axis, angle) => pose.turn(axis, angle) : (axis, angle) => pose.orbit(axis, angle)
    const before = pose.copy()
    act(pose.right, this.flying ? -pitch : pitch)
    const steep = each => Math.abs(each.forward.reduce((sum, value, axis) => sum + value * this.up[axis], 0))
    const upright = -pose.down.reduce((sum, value, axis) => sum + value * this.up[axis], 0)
    if (steep(pose) > Math.max(STEEPEST, steep(before)) || upright < 0 && steep(pose) > steep(before)) Object.assign(pose, before)
    act(this.up, this.flying ? -yaw : yaw)
  }

  /** Move across the picture so that what is looked at follows the pointer. */
  shift(pose, across, along) {
    const { scale } = pose.frameIn(innerWidth, innerHeight)
    const by = add(scaled(pose.right, -across / (scale * pose.fx)), pose.down, -along / (scale * pose.fy))
    pose.position = add(pose.position, by, pose.focus)
  }

  /** Change the distance to what is looked at by a factor. */
  approach(pose, ratio) {
    const target = pose.target
    pose.focus = Math.max(pose.focus * ratio, 1e-6)
    pose.position = add(target, pose.forward, -pose.focus)
  }

  wheeled(event) {
    event.preventDefault()
    const pixels = event.deltaY * [1, 16, 400][event.deltaMode]
    if (event.ctrlKey || !this.flying) this.change(pose => this.approach(pose, Math.exp(0.0015 * pixels)))
    else this.change(pose => { pose.position = add(pose.position, pose.forward, -0.001 * pixels * pose.focus) })
  }

  pressed(event) {
    const key = event.key.toLowerCase()
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, dialog")) return
    if (key === "+" || key === "=" || key === "-") {
      this.change(pose => {
        const factor = key === "-" ? 1 / 1.1 : 1.1
        pose.fx *= factor
        pose.fy *= factor
      })
    } else if (HELD.has(key)) {
      event.preventDefault()
      this.fast = event.shiftKey
      if (!this.held.size) {
        this.time = performance.now()
        requestAnimationFrame(() => this.walk())
      }
      this.held.add(key)
    }
  }

  walk() {
    if (!this.held.size) return
    const now = performance.now()
    const seconds = Math.min(0.1, (now - this.time) / 1000)
    this.time = now
    const pull = (more, less) => (this.held.has(more) ? 1 : 0) - (this.held.has(less) ? 1 : 0)
    this.change(pose => {
      const step = seconds * pose.focus * (this.fast ? 3 : 0.7)
      let by = scaled(pose.forward, pull("w", "s"))
      by = add(by, pose.right, pull("d", "a"))
      by = add(by, pose.down, pull("q", "e"))
      pose.position = add(pose.position, by, step)
      const yaw = pull("arrowright", "arrowleft"), pitch = pull("arrowdown", "arrowup")
      if (yaw || pitch) this.turn(pose, seconds * yaw, seconds * pitch)
    })
    requestAnimationFrame(() => this.walk())
  }
}
