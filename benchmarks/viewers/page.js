// What the pages of all viewers share: what to show, and sending back what was drawn.

const query = new URLSearchParams(location.search)
export const file = query.get("file")
export const view = await (await fetch("/view.json")).json()

const post = (path, body) => fetch(path, { method: "POST", body })
export const send = canvas => post("/picture", canvas.toDataURL("image/png"))

const fail = reason => post("/failure", String(reason))
window.addEventListener("error", event => fail(event.message))
window.addEventListener("unhandledrejection", event => fail(event.reason))
