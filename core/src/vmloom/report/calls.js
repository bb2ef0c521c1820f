// Trees of calls and flame graphs of their gas, for every page that shows calls. A frame has `parent` and `children`,
// which are places among all frames (-1 for none), `depth`, and `gas`. The page says how numbers are written (`number`).

// Making elements: text is never anything but text.
const SVG = "http://www.w3.org/2000/svg";
function make(tag, attributes, ...children) {
  const element = ["svg", "g", "rect", "text", "title", "line"].includes(tag)
    ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
const byId = (id) => document.getElementById(id);

function openedCalls(frames) {
  // From the top as long as the tree stays short enough to be read.
  const opened = {};
  let shown = 1;
  for (let index = 0; index < frames.length && index < 2000 && shown < 60; index++) {
    if (index && !opened[frames[index].parent]) continue;
    if (frames[index].children.length > 40 || frames[index].depth > 12) continue;
    opened[index] = true;
    shown += frames[index].children.length;
  }
  return opened;
}
function treeOfCalls(frames, row) {
  // `row` makes what is shown of a frame. What is closed is made when it is opened, and long lists in parts.
  const AT_ONCE = 200, opened = openedCalls(frames);
  const item = (index) => {
    const below = frames[index].children;
    if (!below.length) return make("li", { class: "leaf" }, row(index));
    const details = make("details", {}, make("summary", {}, row(index)));
    const fill = () => {
      if (details.children.length > 1) return;
      const list = make("ul");
      details.append(list);
      more(list, below, 0);
    };
    details.addEventListener("toggle", fill);
    if (opened[index]) { details.open = true; fill(); }
    return make("li", {}, details);
  };
  const more = (list, below, from) => {
    list.append(...below.slice(from, from + AT_ONCE).map(item));
    const left = below.length - from - AT_ONCE;
    if (left <= 0) return;
    const button = make("button", { type: "button" }, `${number(left)} more`), last = make("li", {}, button);
    button.addEventListener("click", () => { last.remove(); more(list, below, from + AT_ONCE); });
    list.append(last);
  };
  return make("ul", {}, item(0));
}

const gasBelow = (frames, index) => frames[index].children.reduce((sum, child) => sum + frames[child].gas, 0);
function gasShares(frames, index) {
  // What a frame's gas is of all, and how much of it its own.
  const { gas } = frames[index], whole = frames[0].gas, own = Math.max(0, gas - gasBelow(frames, index));
  return `${whole ? `, ${(100 * gas / whole).toFixed(1)}% of all` : ""}, ${number(own)} of it its own`;
}
function flameRows(frames, zoomed, width) {
  // Frames that are wide enough to be seen, the widest first: [index, x, width, line]. Those above come first.
  const found = [];
  for (let index = frames[zoomed].parent; index >= 0 && found.length < 6; index = frames[index].parent) found.unshift(index);
  const rows = found.map((index, line) => [index, 0, width, line]), waiting = [[zoomed, 0, width, rows.length]];
  while (waiting.length) {
    const [index, x, wide, line] = waiting.pop();
    rows.push([index, x, wide, line]);
    const whole = Math.max(frames[index].gas, gasBelow(frames, index), 1);
    let at = x;
    for (const child of frames[index].children) {
      const part = wide * frames[child].gas / whole;
      if (part >= 0.6) waiting.push([child, at, part, line + 1]);
      at += part;
    }
  }
  return rows.sort((one, other) => other[2] - one[2]);
}
function flameGraph(rows, width, { shade, label, say, zoom, tell }) {
  // The drawing of `flameRows`. Of a frame, `shade` is its class, `label` what fits into it and `say` all about it;
  // `zoom` and `tell` are called when it is chosen and when it is looked at.
  const BAR = 22, height = (rows.reduce((most, row) => Math.max(most, row[3]), 0) + 1) * BAR;
  const box = ([index, x, wide, line]) => {
    const group = make("g", { tabindex: wide > 12 ? 0 : -1, role: "button", "aria-label": say(index) },
      make("rect", { x, y: line * BAR, width: Math.max(wide, 0.6), height: BAR - 1, rx: 2, class: shade(index) }));
    const room = Math.floor((wide - 8) / 7.3), text = room > 3 ? label(index) : "";
    if (text) group.append(make("text", { x: x + 5, y: line * BAR + 15 }, text.length > room ? `${text.slice(0, room - 1)}…` : text));
    group.addEventListener("click", () => zoom(index));
    group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); zoom(index); } });
    for (const name of ["mouseenter", "focus"]) group.addEventListener(name, () => tell(index));
    return group;
  };
  return make("svg", { height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": "Flame graph of gas" }, rows.slice(0, 4000).map(box));
}
