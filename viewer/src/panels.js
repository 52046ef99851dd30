// What lies around the pictures: the scenes, how they are compared, labels, the slider's handle, the status line. All
// of it is made from the stage's state, anew whenever that has changed.

import { said } from "./words.js"

const element = id => document.getElementById(id)

function made(tag, attributes, ...children) {
  const node = Object.assign(document.createElement(tag), attributes)
  node.append(...children)
  return node
}

export class Panels {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage, title) {
    this.stage = stage
    element("title").textContent = title
    element("modes").hidden = stage.sides.length < 2
    if (stage.sides.length < 2) document.querySelectorAll(".sides").forEach(node => node.remove())
    for (const button of document.querySelectorAll("[data-mode]")) {
      button.addEventListener("click", () => stage.setMode(button.dataset.mode))
    }
    element("split").querySelector("input").addEventListener("input", event => this.moveSplit(+event.target.value))
    element("factor").querySelector("input").addEventListener("input", event => this.amplify(2 ** +event.target.value))
    const divider = element("divider")
    divider.addEventListener("pointerdown", event => divider.setPointerCapture(event.pointerId))
    divider.addEventListener("pointermove", event => {
      if (event.buttons) this.moveSplit(event.clientX / innerWidth)
    })
    stage.onChange(() => this.show())
    stage.sides.forEach(side => {
      side.onProgress = () => side.failed ? this.show() : this.showLoading()
    })
    setInterval(() => this.showStatus(), 500)
  }

  moveSplit(share) {
    this.stage.split = Math.min(1, Math.max(0, share))
    this.stage.refresh()
  }

  amplify(factor) {
    this.stage.amplification = Math.min(128, Math.max(1, factor))
    this.stage.refresh()
  }

  /** "first", "second" or nothing: what a side is in a comparison. */
  role(index) {
    const { mode, first, second, shown } = this.stage
    if (mode === "one") return index === shown ? "is-first" : ""
    return index === first ? "is-first" : index === second && mode !== "beside" ? "is-second" : ""
  }

  tag(index) {
    return made("span", { className: "tag" }, String(index + 1))
  }

  show() {
    this.showCards()
    this.showModes()
    this.showLabels()
    this.showLoading()
    this.showStatus()
  }

  showCards() {
    const { stage } = this
    element("cards").replaceChildren(...stage.sides.map((side, index) => {
      const button = made("button", { className: `${this.role(index)} ${side.failed ? "failed" : ""}`, title: side.scene.note ?? side.scene.name },
        this.tag(index), made("b", {}, side.scene.name), made("small", {}, this.words(side)))
      button.setAttribute("aria-pressed", String(stage.mode === "one" && stage.shown === index))
      button.addEventListener("click", () => stage.choose(index))
      return made("li", {}, button)
    }))
  }

  showModes() {
    const { stage } = this
    for (const button of document.querySelectorAll("[data-mode]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mode === stage.mode))
    }
    element("split").hidden = element("divider").hidden = stage.mode !== "slider" || stage.pair.length < 2
    element("factor").hidden = stage.mode !== "difference"
    element("split").querySelector("input").value = stage.split
    element("factor").querySelector("input").value = Math.log2(stage.amplification)
    element("factor").querySelector("span").textContent = `× ${stage.amplification}`
    element("divider").style.left = `${100 * stage.split}%`
  }

  label(index, style, { end = false, more = "" } = {}) {
    const { scene } = this.stage.sides[index]
    const node = made("div", { className: `label ${this.role(index)} ${end ? "end" : ""}` },
      this.tag(index), made("b", {}, scene.name), made("small", {}, more))
    Object.assign(node.style, style)
    return node
  }

  /** What is said of a side: its size, or of which camera the photo is. */
  words(side) {
    if (side.failed) return side.failed
    if (side.kind === "photo") return side.address ? side.scene.of : "at a camera only"
    return said(side.scene, this.stage.sides[0].scene)
  }

  showLabels() {
    const { stage } = this
    const ratio = stage.app.graphicsDevice.width / innerWidth
    const nodes = []
    const below = `calc(100% - ${element("bottom").offsetHeight + 56}px)`
    // Panes say themselves what the list of scenes says otherwise.
    document.querySelector("header").hidden = stage.mode === "beside" && stage.sides.every(side => !side.failed)
    if (stage.mode === "beside") {
      const { height } = stage.app.graphicsDevice
      for (const pane of stage.panes) {
        const left = pane.left / ratio, top = (height - pane.bottom - pane.height) / ratio
        const bottom = (height - pane.bottom) / ratio
        const room = pane.width / ratio
        const crowded = top < 60 && left + room > innerWidth - 60 && room < 460 && innerWidth > 640
        nodes.push(this.label(stage.sides.indexOf(pane.side), {
          left: `${left + 12}px`, top: `${top + (crowded ? 60 : 12)}px`, maxWidth: `${room - 24}px`,
        }, { more: this.words(pane.side) }))
        if (pane.left) {
          const rule = made("div", { className: "rule" })
          Object.assign(rule.style, { left: `${left - 1}px`, top: `${top}px`, width: "2px", height: `${bottom - top}px` })
          nodes.push(rule)
        }
      }
    } else if (stage.mode !== "one" && stage.pair.length < 2) {
      const missing = [stage.first, stage.second].find(index => !stage.available(stage.sides[index]))
      nodes.push(this.label(missing, { left: "12px", top: below }, { more: "choose a camera to compare with its photo" }))
    } else if (stage.mode === "slider") {
      const place = 100 * stage.split
      nodes.push(this.label(stage.first, { left: `calc(${place}% - 30px)`, top: below }, { end: true }))
      nodes.push(this.label(stage.second, { left: `calc(${place}% + 30px)`, top: below }))
    } else if (stage.mode === "difference") {
      const { name } = stage.sides[stage.first].scene
      nodes.push(this.label(stage.second, { left: "12px", top: below }, {
        more: `against ${name}, × ${stage.amplification}`,
      }))
    }
    element("labels").replaceChildren(...nodes)
  }

  showLoading() {
    const waiting = this.stage.sides.filter(side => side.drawn && !side.ready && !side.failed)
    const share = waiting.length ? waiting.reduce((sum, side) => sum + (side.progress ?? 0), 0) / waiting.length : 1
    const bar = element("loading")
    bar.hidden = !waiting.length
    bar.setAttribute("aria-valuenow", String(Math.round(100 * share)))
    bar.firstElementChild.style.width = `${3 + 97 * share}%`
  }

  showStatus() {
    const waiting = this.stage.sides.some(side => side.drawn && !side.ready && !side.failed)
    const { rate } = this.stage
    element("status").textContent = waiting ? "loading…" : rate === null ? "at rest" : `${rate.toFixed(rate < 10 ? 1 : 0)} frames/s`
  }
}
