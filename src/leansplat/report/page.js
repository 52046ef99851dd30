// What a page of a report can do beside being read: values under the pointer, series on and off, a wipe between pictures.
// Everything is there without it, too. It asks nothing of the network and keeps nothing.
"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const made = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};

// A drawn point is [x, y on the drawing, the value of x, the value of y], both values as text.
function watch(figure) {
  const svg = figure.querySelector("svg[viewBox][role=img]");
  const groups = all(".series", svg).map((group) => ({ group, points: JSON.parse(group.dataset.points) }));
  const single = figure.dataset.kind === "points";
  const tip = made("div", { class: "tip", hidden: "" });
  const spoken = made("div", { class: "sr", "aria-live": "polite" });
  figure.append(tip, spoken);
  const drawing = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const over = drawing("g", { class: "over" });
  svg.append(over);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  let last = null;

  function show(px, py, aloud = false) {
    const seen = groups.filter(({ group, points }) => !group.hasAttribute("hidden") && points.length);
    const far = ([x, y]) => (single ? Math.hypot(x - px, y - py) : Math.abs(x - px));
    let found = seen.map(({ group, points }) => ({ group, at: points.reduce((a, b) => (far(b) < far(a) ? b : a)) }));
    if (!found.length) return hide();
    const nearest = found.reduce((a, b) => (far(b.at) < far(a.at) ? b : a));
    found = single ? [nearest] : found.filter(({ at }) => Math.abs(at[0] - nearest.at[0]) < 12);
    over.replaceChildren();
    if (!single) over.append(drawing("line", { class: "at", x1: nearest.at[0], x2: nearest.at[0], y1: 12, y2: height - 46 }));
    for (const { group, at } of found) {
      const color = [...group.classList].find((name) => /^c\d$/.test(name));
      over.append(drawing("circle", { class: `dot ${color}`, cx: at[0], cy: at[1], r: 4.5 }));
    }
    const head = `${figure.dataset.x}: ${nearest.at[2]}`;
    const lines = found.map(({ group, at }) => `${group.dataset.series}: ${at[3]}`);
    tip.replaceChildren(made("div", {}, head), ...lines.map((line) => made("div", {}, line)));
    tip.hidden = false;
    const box = svg.getBoundingClientRect(), frame = figure.getBoundingClientRect();
    const x = box.left - frame.left + (nearest.at[0] / width) * box.width;
    const left = x + 14 + tip.offsetWidth > frame.width ? Math.max(0, x - 14 - tip.offsetWidth) : x + 14;
    tip.style.left = `${left}px`;
    tip.style.top = `${box.top - frame.top + 16}px`;
    last = nearest.at;
    if (aloud) spoken.textContent = [head, ...lines].join("; ");
  }
  function hide() {
    over.replaceChildren();
    tip.hidden = true;
    last = null;
  }
  const moved = (event) => {
    const box = svg.getBoundingClientRect();
    show(((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height);
  };
  svg.addEventListener("pointermove", moved);
  svg.addEventListener("pointerdown", moved);
  svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") hide();
    if (!way) return;
    event.preventDefault();
    const places = groups.filter(({ group }) => !group.hasAttribute("hidden")).flatMap(({ points }) => points);
    places.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const now = last ? places.findIndex((place) => place[0] === last[0] && place[1] === last[1]) : way > 0 ? -1 : places.length;
    let next = now + way;
    while (!single && places[next] && last && places[next][0] === last[0]) next += way;
    if (places[next]) show(places[next][0], places[next][1], true);
  });
}

// The same series in all charts is shown and hidden together.
function toggle(event) {
  const button = event.currentTarget, name = button.dataset.series;
  const on = button.getAttribute("aria-pressed") === "false";
  for (const each of all(".legend button")) if (each.dataset.series === name) each.setAttribute("aria-pressed", on);
  for (const each of all(".chart .series")) if (each.dataset.series === name) each.toggleAttribute("hidden", !on);
}

// Two sides lie over each other, and the upper one begins where the slider stands.
function compare(figure) {
  const stage = figure.querySelector(".sides"), sides = all(".side", stage), title = figure.querySelector("h3").textContent;
  const labels = sides.map((side) => side.querySelector("figcaption").textContent);
  const plain = sides.map((_, index) => index).filter((index) => !sides[index].hasAttribute("data-differs"));
  const pairs = plain.flatMap((left, index) => plain.slice(index + 1).map((right) => [left, right]));
  const choices = [...pairs, ...sides.map((_, index) => index).filter((index) => !plain.includes(index)).map((index) => [index])];
  const controls = made("div", { class: "controls", role: "group", "aria-label": `What to compare of: ${title}` });
  const wipe = made("input", { type: "range", class: "wipe", min: 0, max: 100, step: 1, value: 50 });
  const place = () => {
    stage.style.setProperty("--at", `${wipe.value}%`);
    wipe.setAttribute("aria-valuetext", `${wipe.value} % from the left`);
  };
  function choose(pair) {
    sides.forEach((side, index) => {
      side.classList.toggle("shown", pair.includes(index));
      side.classList.toggle("over", pair.length > 1 && index === pair[1]);
      side.setAttribute("aria-hidden", !pair.includes(index));
    });
    stage.classList.toggle("wiping", pair.length > 1);
    wipe.disabled = pair.length < 2;
    if (pair.length > 1) wipe.setAttribute("aria-label", `${labels[pair[0]]} to the left, ${labels[pair[1]]} to the right`);
    all("button[aria-pressed]", controls).forEach((button, index) => button.setAttribute("aria-pressed", choices[index] === pair));
  }
  for (const pair of choices) {
    const words = pair.map((index) => labels[index]).join(" | ");
    const button = made("button", { type: "button", "aria-pressed": "false" }, words);
    button.addEventListener("click", () => choose(pair));
    controls.append(button);
  }
  const grow = made("button", { type: "button", class: "grow" }, "larger");
  grow.addEventListener("click", () => (grow.textContent = figure.classList.toggle("large") ? "smaller" : "larger"));
  controls.append(grow);
  const drag = (event) => {
    if (wipe.disabled || !(event.buttons & 1)) return;
    const box = stage.getBoundingClientRect();
    wipe.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    place();
  };
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  stage.addEventListener("dragstart", (event) => event.preventDefault());
  wipe.addEventListener("input", place);
  stage.after(wipe);
  stage.before(controls);
  figure.classList.add("live");
  place();
  choose(choices[0]);
}

function copyable(code) {
  const button = made("button", { type: "button" }, "copy");
  button.addEventListener("click", async () => {
    const range = document.createRange();
    range.selectNodeContents(code.querySelector("code"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = (await navigator.clipboard?.writeText(code.innerText).then(() => true, () => false)) || document.execCommand("copy") ? "copied" : "copy";
  });
  code.after(made("div", { class: "controls" }, button));
  code.parentElement.classList.add("live");
}

all(".chart").forEach(watch);
all(".legend button").forEach((button) => button.addEventListener("click", toggle));
all(".comparison").filter((figure) => all(".side", figure).length > 1).forEach(compare);
all("pre").forEach(copyable);
addEventListener("beforeprint", () => all("details:not(.numbers)").forEach((fold) => (fold.open = true)));
