// The engine behind the page: PlayCanvas with only the parts that load and draw Gaussians. Frames are drawn when
// something has changed, so that a page at rest costs nothing.

import {
  AppBase, AppOptions, CameraComponentSystem, GSPLATDATA_LARGE, GSplatComponentSystem, GSplatHandler, ShaderChunks,
  SHADERLANGUAGE_GLSL, TextureHandler, createGraphicsDevice,
} from "playcanvas"
import { drawByTheRules } from "./rules.js"

const MOST = 4_000_000
const MOST_ON_PHONES = 1_000_000

/** @param {HTMLCanvasElement} canvas */
export async function startEngine(canvas) {
  const device = await createGraphicsDevice(canvas, {
    deviceTypes: ["webgl2"], antialias: false, alpha: false, depth: false, stencil: false,
  })
  const options = new AppOptions()
  options.graphicsDevice = device
  options.componentSystems = [CameraComponentSystem, GSplatComponentSystem]
  options.resourceHandlers = [GSplatHandler, TextureHandler] // .sog keeps its numbers in textures
  options.devtools = false
  const app = new AppBase(canvas)
  app.init(options)
  app.autoRender = false
  app.scene.gsplat.dataFormat = GSPLATDATA_LARGE // half floats, where the usual format has 8 bits for sizes and colours
  app.scene.gsplat.splatBudget = matchMedia("(pointer: coarse)").matches ? MOST_ON_PHONES : MOST // of levels of detail
  drawByTheRules(app, ShaderChunks.get(device, SHADERLANGUAGE_GLSL))
  app.systems.gsplat.on("frame:request", () => { app.renderNextFrame = true })
  app.start()
  return app
}
