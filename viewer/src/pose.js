// Where a picture is taken from, as in leansplat's cameras: OpenCV axes (x right, y down, z forward), intrinsics in
// pixels of a frame, pixel centres at halves. A pane of another shape shows the whole frame and what is around it.

/** @typedef {[number, number, number]} Vector */

export const add = (a, b, factor = 1) => a.map((value, axis) => value + factor * b[axis])
export const scaled = (a, factor) => a.map(value => value * factor)
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
export const length = a => Math.hypot(...a)
export const unit = a => scaled(a, 1 / (length(a) || 1))

/** A vector turned around a unit axis (Rodrigues). */
export function turned(vector, axis, angle) {
  const cosine = Math.cos(angle)
  return add(add(scaled(vector, cosine), cross(axis, vector), Math.sin(angle)), axis, dot(axis, vector) * (1 - cosine))
}

export class Pose {
  /**
   * @param {object} camera as the page's description has it: width, height, fx, fy, cx, cy, world_to_camera (16 numbers,
   *   row by row) and focus, the distance of what it looks at
   */
  constructor(camera) {
    const m = camera.world_to_camera
    this.right = m.slice(0, 3)
    this.down = m.slice(4, 7)
    this.forward = m.slice(8, 11)
    const shift = [m[3], m[7], m[11]]
    this.position = [0, 1, 2].map(axis =>
      -(this.right[axis] * shift[0] + this.down[axis] * shift[1] + this.forward[axis] * shift[2]))
    const { width, height, fx, fy, cx, cy, focus } = camera
    Object.assign(this, { width, height, fx, fy, cx, cy, focus })
  }

  copy() {
    return Object.assign(Object.create(Pose.prototype), this)
  }

  /** What everything turns around. */
  get target() {
    return add(this.position, this.forward, this.focus)
  }

  /** Turn all axes around a unit axis of the world. */
  turn(axis, angle) {
    for (const name of ["right", "down", "forward"]) this[name] = turned(this[name], axis, angle)
    // Many small turns would let the axes drift apart.
    this.forward = unit(this.forward)
    this.right = unit(add(this.right, this.forward, -dot(this.right, this.forward)))
    this.down = cross(this.forward, this.right)
  }

  /** Turn around the target, which stays where it is in the picture. */
  orbit(axis, angle) {
    const target = this.target
    this.turn(axis, angle)
    this.position = add(target, this.forward, -this.focus)
  }

  /** Where the frame lies in a pane: the scale of its pixels and its left upper corner. */
  frameIn(width, height) {
    const scale = Math.min(width / this.width, height / this.height)
    return { scale, left: (width - scale * this.width) / 2, top: (height - scale * this.height) / 2 }
  }

  /** Fill a column-major OpenGL matrix for a pane of this size. */
  project(matrix, width, height) {
    const { scale, left, top } = this.frameIn(width, height)
    const near = 1e-6, far = 1e7 // what is too near for a scene its own rules leave out
    matrix.fill(0)
    matrix[0] = 2 * scale * this.fx / width
    matrix[5] = 2 * scale * this.fy / height
    matrix[8] = 1 - 2 * (scale * this.cx + left) / width
    matrix[9] = 2 * (scale * this.cy + top) / height - 1
    matrix[10] = -(far + near) / (far - near)
    matrix[11] = -1
    matrix[14] = -2 * far * near / (far - near)
  }

  /** Fill a column-major camera-to-world matrix with OpenGL axes, relative to an origin. */
  place(matrix, origin) {
    const columns = [this.right, scaled(this.down, -1), scaled(this.forward, -1), add(this.position, origin, -1)]
    columns.forEach((column, index) => column.forEach((value, row) => { matrix[4 * index + row] = value }))
    matrix[3] = matrix[7] = matrix[11] = 0
    matrix[15] = 1
  }
}
