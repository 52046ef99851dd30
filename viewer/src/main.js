// The page: reads what it is to show (scenes, cameras, where to begin), builds the stage, and answers keys and buttons.
//
// What it shows stands in the page itself, in an element with the id "description", or beside it in description.json.
// `window.leansplat` is for whoever drives the page: tests, and a page around it that has a newer scene to show.

import { Controls } from "./controls.js"
import { startEngine } from "./engine.js"
import { Panels } from "./panels.js"
import { Pose } from "./pose.js"
import { Stage } from "./stage.js"
import { Strip } from "./strip.js"

const MOST_PIXELS_PER_POINT = 2

async function readDescription() {
  const inside = document.getElementById("description")
  const description = inside ? JSON.parse(inside.textContent) : await (await fetch("description.json")).json()
  for (const scene of description.scenes) {
    const data = scene.data && document.getElementById(scene.data)
    if (data) scene.contents = fetch(`data:application/octet-stream;base64,${data.textContent.trim()}`)
  }
  return description
}

class Page {
  constructor(app, description) {
    this.description = description
    this.stage = new Stage(app, description)
    this.controls = new Controls(document.getElementById("canvas"), description.up, pose => this.leave(pose))
    this.panels = new Panels(this.stage, description.title)
    this.strip = new Strip(description.cameras, index => this.jump(index))
    window.addEventListener("keydown", event => this.pressed(event))
    for (const button of document.querySelectorAll("[data-act]")) {
      button.addEventListener("click", () => this.act(button.dataset.act))
    }
    new ResizeObserver(() => this.resize()).observe(document.body)
    this.resize()
    this.reset()
  }

  get size() {
    return this.fixed ?? (() => {
      const ratio = Math.min(devicePixelRatio, MOST_PIXELS_PER_POINT)
      return { width: Math.max(1, Math.round(ratio * innerWidth)), height: Math.max(1, Math.round(ratio * innerHeight)) }
    })()
  }

  resize() {
    const { width, height } = this.size
    this.stage.resize(width, height)
  }

  /** Where the page opens. */
  reset() {
    if (this.description.opening === null && this.description.cameras.length) this.jump(0)
    else this.place(this.description.opening)
  }

  /** To a camera of the strip, with its photo. */
  jump(index) {
    const camera = this.description.cameras[index]
    if (!camera) throw new Error(`there is no camera ${index}`)
    this.strip.mark(index)
    const { photo } = this.stage
    if (photo) {
      photo.scene.of = camera.name
      photo.take(camera.photo ?? null)
    }
    this.look(new Pose(camera))
  }

  /** To any camera, given as the description gives one. */
  place(camera) {
    this.leave(new Pose(camera))
  }

  /** The view has moved on from the camera it was at. */
  leave(pose) {
    this.strip.mark(null)
    const { photo, stage } = { photo: this.stage.photo, stage: this.stage }
    if (photo?.address) {
      photo.take(null)
      const at = stage.sides.indexOf(photo)
      if (stage.mode === "one" && stage.shown === at) stage.shown = stage.first === at ? 0 : stage.first
    }
    this.look(pose)
  }

  look(pose) {
    this.controls.pose = pose
    this.stage.look(pose)
  }

  act(name) {
    const { stage, controls } = this
    if (name === "reset") this.reset()
    else if (name === "fly") {
      controls.flying = !controls.flying
      document.querySelector("[data-act=fly]").setAttribute("aria-pressed", String(controls.flying))
    } else if (name === "help") document.getElementById("help").showModal()
    else if (name === "blink") stage.blink()
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, dialog")) return
    const { stage } = this
    const onButton = event.target.closest?.("button")
    const keys = {
      "?": () => this.act("help"), r: () => this.act("reset"), f: () => this.act("fly"), b: () => stage.blink(),
      o: () => stage.setMode("one"), c: () => stage.setMode("beside"), x: () => stage.setMode("slider"),
      v: () => stage.setMode("difference"), ",": () => this.strip.step(-1), ".": () => this.strip.step(1),
      "[": () => this.adjust(-1), "]": () => this.adjust(1), h: () => document.body.classList.toggle("bare"),
    }
    const key = event.key.toLowerCase()
    if (key === " " && !onButton) stage.blink()
    else if (/^[1-9]$/.test(key)) stage.choose(+key - 1)
    else if (keys[key]) keys[key]()
    else return
    event.preventDefault()
  }

  adjust(by) {
    if (this.stage.mode === "difference") this.panels.amplify(this.stage.amplification * 2 ** by)
    else if (this.stage.mode === "slider") this.panels.moveSplit(this.stage.split + 0.02 * by)
  }

  /** Show another scene on a side, once it is there. */
  async load(index, scene) {
    await this.stage.sides[index].show(scene)
    this.stage.refresh()
  }

  /** Draw at a size of its own, however large the window is; null to follow the window again. */
  setSize(width, height) {
    this.fixed = width ? { width, height } : null
    this.resize()
  }

  /** Resolves when what is on the canvas is final. */
  settled() {
    return this.stage.settle()
  }
}

function tellFailure(error) {
  document.getElementById("status").textContent = `This page cannot be shown: ${error.message ?? error}`
  console.error(error)
}

async function open() {
  const description = await readDescription()
  document.title = description.title ? `${description.title} – leansplat` : "leansplat"
  const poster = document.getElementById("poster")
  if (description.poster) Object.assign(poster, { src: description.poster, hidden: false })
  const app = await startEngine(document.getElementById("canvas"))
  const page = new Page(app, description)
  window.leansplat = page
  await page.settled()
  page.firstPicture = performance.now()
  page.stage.refresh()
  poster.classList.add("gone")
}

open().catch(tellFailure)
