// Putting the sides' pictures on the canvas. Every texel is fetched as it is and none is interpolated, so what stands
// left and right of a slider are parts of the whole renders, bit for bit.

import { SEMANTIC_POSITION, ShaderUtils, Vec4, drawQuadWithShader } from "playcanvas"

const vertex = `
attribute vec2 vertex_position;
void main(void) { gl_Position = vec4(vertex_position, 0.0, 1.0); }
`
const fragments = {
  copy: `
uniform highp sampler2D first;
uniform vec4 corner;
void main(void) { gl_FragColor = vec4(texelFetch(first, ivec2(gl_FragCoord.xy - corner.xy), 0).rgb, 1.0); }
`,
  difference: `
uniform highp sampler2D first;
uniform highp sampler2D second;
uniform float amplification;
void main(void) {
	ivec2 place = ivec2(gl_FragCoord.xy);
	vec3 a = clamp(texelFetch(first, place, 0).rgb, 0.0, 1.0);
	vec3 b = clamp(texelFetch(second, place, 0).rgb, 0.0, 1.0);
	gl_FragColor = vec4(amplification * abs(b - a), 1.0);
}
`,
  photo: `
uniform sampler2D first;
uniform vec4 frame; // left, top, width, height in pixels of the picture
uniform vec4 behind; // colour, height of the picture
void main(void) {
	vec2 place = (vec2(gl_FragCoord.x, behind.w - gl_FragCoord.y) - frame.xy) / frame.zw;
	bool inside = all(greaterThanEqual(place, vec2(0.0))) && all(lessThanEqual(place, vec2(1.0)));
	vec4 photo = texture2D(first, place);
	gl_FragColor = vec4(inside ? mix(behind.rgb, photo.rgb, photo.a) : behind.rgb, 1.0);
}
`,
}

const shaders = new Map()

function shader(device, name) {
  if (!shaders.has(name)) {
    shaders.set(name, ShaderUtils.createShader(device, {
      uniqueName: `leansplat-${name}`, attributes: { vertex_position: SEMANTIC_POSITION },
      vertexGLSL: vertex, fragmentGLSL: fragments[name],
    }))
  }
  return shaders.get(name)
}

const put = (device, name, value) => device.scope.resolve(name).setValue(value)

/** A picture with its left lower corner at (left, bottom) of the canvas, as far as `scissor` (x, y, width, height). */
function drawCopy(device, picture, left, bottom, scissor) {
  put(device, "first", picture.colorBuffer)
  put(device, "corner", [left, bottom, 0, 0])
  const whole = new Vec4(left, bottom, picture.width, picture.height)
  drawQuadWithShader(device, null, shader(device, "copy"), whole, scissor)
}

export const drawOne = (device, side) => drawCopy(device, side.target, 0, 0)

/** Pictures in panes: `panes` has a (left, bottom) in pixels for each side. */
export function drawPanes(device, sides, panes) {
  sides.forEach((side, index) => drawCopy(device, side.target, panes[index].left, panes[index].bottom))
}

/** Left of a column the one picture, right of it the other. */
export function drawSlider(device, left, right, column) {
  const { width, height } = left.target
  if (column > 0) drawCopy(device, left.target, 0, 0, new Vec4(0, 0, column, height))
  if (column < width) drawCopy(device, right.target, 0, 0, new Vec4(column, 0, width - column, height))
}

export function drawDifference(device, first, second, amplification) {
  put(device, "first", first.target.colorBuffer)
  put(device, "second", second.target.colorBuffer)
  put(device, "amplification", amplification)
  drawQuadWithShader(device, null, shader(device, "difference"))
}

export function drawPhoto(device, side) {
  const { width, height } = side.target
  const { scale, left, top } = side.pose.frameIn(width, height)
  put(device, "behind", [...side.background, height])
  put(device, "frame", [left, top, scale * side.pose.width, scale * side.pose.height])
  put(device, "first", side.texture ?? side.blank)
  drawQuadWithShader(device, side.target, shader(device, "photo"))
}
