// The strip of a capture's cameras to jump to, each with a small picture.

export class Strip {
  /**
   * @param {object[]} cameras as the page's description has them
   * @param {(index: number) => void} chosen
   */
  constructor(cameras, chosen) {
    this.cameras = cameras
    this.chosen = chosen
    this.current = null
    this.list = document.getElementById("strip")
    this.list.hidden = cameras.length < 2 && !cameras[0]?.photo
    if (this.list.hidden) document.querySelectorAll(".cameras").forEach(node => node.remove())
    this.buttons = cameras.map((camera, index) => {
      const button = document.createElement("button")
      button.title = camera.name
      if (camera.thumbnail) {
        const image = Object.assign(document.createElement("img"), { loading: "lazy", src: camera.thumbnail, alt: "" })
        image.width = Math.round(58 * camera.width / camera.height)
        image.height = 58
        button.append(image)
      } else button.style.width = "58px"
      button.append(Object.assign(document.createElement("span"), { textContent: camera.name.split("/").at(-1).replace(/\.\w{3,4}$/, "") }))
      button.addEventListener("click", () => chosen(index))
      const item = document.createElement("li")
      item.append(button)
      this.list.append(item)
      return button
    })
  }

  mark(index) {
    if (this.current !== null) this.buttons[this.current].removeAttribute("aria-current")
    this.current = index
    if (index === null) return
    this.buttons[index].setAttribute("aria-current", "true")
    this.list.scrollTo({ left: this.buttons[index].offsetLeft - this.list.clientWidth / 2 })
  }

  step(by) {
    if (!this.cameras.length) return
    this.chosen(((this.current ?? (by > 0 ? -1 : 0)) + by + this.cameras.length) % this.cameras.length)
  }
}
