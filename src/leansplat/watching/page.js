// The page of a run that goes on: asks every second how things are, and shows what has changed. A question that is not
// answered is asked again; nothing here can hold up the run.

const EVERY = 1000, PATIENCE = 8000
const element = id => document.getElementById(id)
const whole = number => Math.round(number).toLocaleString("en")

function time(seconds) {
  const minutes = Math.floor(seconds / 60)
  return minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : minutes ? `${minutes} min ${Math.round(seconds % 60)} s` : `${Math.round(seconds)} s`
}

const numbers = {
  step: ["step", whole], loss: ["loss", value => value.toPrecision(4)], gaussians: ["Gaussians", whole],
  psnr: ["held-out PSNR", value => `${value.toFixed(2)} dB`], seconds: ["time", time], left: ["left", time],
}
let frame = null, charts = null, shown = null, asked = false

async function ask(name, options) {
  const response = await fetch(name, { ...options, signal: AbortSignal.timeout(PATIENCE) })
  if (!response.ok) throw new Error(`${name}: ${response.status}`)
  return response
}

async function look() {
  try {
    const state = await (await ask("state.json")).json()
    show(state)
    if (state.charts !== charts) {
      element("charts").innerHTML = await (await ask("charts.html")).text()
      charts = state.charts
    }
    await showScene(state)
  } catch (error) {
    element("said").textContent = "what serves this page has ended, as it does with the run it was started by"
    element("stop").hidden = true
  }
  setTimeout(look, EVERY)
}

function show(state) {
  const piece = state.piece ? `, ${state.piece}` : ""
  element("name").textContent = `${state.name}${piece}`
  document.title = `${state.name} – leansplat`
  element("said").textContent = asked && state.state === "running" ? "it stops after this step" : state.said
  element("done").value = state.state === "finished" ? 1 : state.total ? state.done / state.total : 0
  const values = { ...state, left: state.state === "running" ? state.left : null }
  const rows = Object.entries(numbers).filter(([key]) => typeof values[key] === "number").map(([key, [label, said]]) => {
    const row = document.createElement("div")
    row.append(Object.assign(document.createElement("dt"), { textContent: label }))
    const total = key === "step" && state.total ? `${whole(state.done)} of ${whole(state.total)}` : said(values[key])
    row.append(Object.assign(document.createElement("dd"), { textContent: total }))
    return row
  })
  element("numbers").replaceChildren(...rows)
  element("stop").hidden = !state.stoppable
  if (state.state !== "running") asked = false
  element("stop").disabled = asked
}

/** The viewer comes with the first scene, and is then told of newer ones; its camera stays where it is. */
async function showScene(state) {
  if (!state.viewer || !state.scene) return
  if (!frame) {
    frame = Object.assign(document.createElement("iframe"), { src: "viewer/", title: "The newest scene, beside photos" })
    element("no-scene").remove()
    element("view").append(frame)
    return
  }
  const viewer = frame.contentWindow.leansplat
  if (!viewer?.firstPicture || state.scene.url === shown) return
  shown = state.scene.url
  viewer.load(0, { ...state.scene, filename: "scene.ply" }).catch(() => { shown = null })
}

element("stop").addEventListener("click", async () => {
  asked = true
  element("stop").disabled = true
  try {
    await ask("stop", { method: "POST" })
  } catch (error) {
    asked = false
  }
})
look()
