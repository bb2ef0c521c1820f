const data = JSON.parse(document.getElementById("data").textContent);
const { frames, accounts, steps, words, names } = data;
const count = steps.pc.length;
const ROW = 24;

const number = (value) => (typeof value === "string" ? BigInt(value) : value).toLocaleString("en-US");
const plain = (value) => Number(value || 0);
const plural = (value, one) => `${number(value)} ${one}${value === 1 ? "" : "s"}`;
const short = (hex) => (hex.length > 14 ? `${hex.slice(0, 8)}…${hex.slice(-6)}` : hex);
const shortWord = (hex) => (hex.length > 24 ? `0x${hex.slice(0, 10)}…${hex.slice(-8)}` : `0x${hex}`);
const offset = (value) => `0x${value.toString(16).padStart(4, "0")}`;
function wei(text) {
  const value = BigInt(text), unit = 10n ** 18n;
  if (value < 10n ** 13n) return `${number(text)} wei`;
  const rest = (value % unit).toString().padStart(18, "0").replace(/0+$/, "");
  return `${(value / unit).toLocaleString("en-US")}${rest ? "." + rest : ""} ether`;
}
const accountName = (index) => accounts[index] || (index === frames[0].account ? "the first contract" : "an account that the trace does not name");
const stateOf = (frame) => (frame.reverted ? "reverted" : frame.error ? "failed" : "");
const codeLabel = (frame) => (frame.code >= 0 ? data.codes[frame.code].label : "");
function reasonOf(frame) {
  // What a revert says as solidity and vyper do: Error(string), whose text follows an offset and its size.
  const hex = frame.reverted && frame.output ? frame.output[0] : "";
  if (!hex.startsWith("08c379a0") || hex.length < 136) return "";
  const size = Math.min(parseInt(hex.slice(120, 136), 16), 300);
  const pairs = hex.slice(136, 136 + 2 * size).match(/../g) || [];
  return new TextDecoder().decode(Uint8Array.from(pairs, (pair) => parseInt(pair, 16)));
}
const errorOf = (frame) => [frame.error, reasonOf(frame)].filter(Boolean).join(": ");
frames.forEach((frame) => { frame.children = []; frame.gas = plain(frame.used); });
frames.forEach((frame, index) => { if (frame.parent >= 0) frames[frame.parent].children.push(index); });

// The head

function showOutcome() {
  const root = frames[0], place = byId("outcome");
  if (root.output && root.output[1]) place.append(make("p", { class: "quiet" }, "Output ", hexOf(root.output)));
  if (root.input && root.input[1]) place.append(make("p", { class: "quiet" }, "Input ", hexOf(root.input)));
}
function hexOf([hex, size]) {
  const box = make("code", { class: "hex wide" }, `0x${hex.slice(0, 136)}${hex.length > 136 ? "…" : ""}`);
  return make("span", {}, box, ` ${plural(size, "byte")}`);
}

// The tree of calls

function callRow(index) {
  const frame = frames[index], label = codeLabel(frame);
  const row = make("span", { class: `row ${stateOf(frame)}` },
    make("span", { class: "kind" }, frame.kind),
    label ? make("strong", {}, label) : null,
    frame.to ? make("code", { title: frame.to }, short(frame.to)) : null,
    make("span", {}, frame.used === null ? "gas not told" : `${number(frame.used)} gas`),
    frame.value && frame.value !== "0" ? make("span", {}, wei(frame.value)) : null,
    frame.error ? make("span", { class: "why" }, errorOf(frame)) : null);
  if (listed(frame.first)) {
    const link = make("button", { type: "button", class: "link" }, `step ${number(frame.first)}`);
    link.addEventListener("click", (event) => { event.preventDefault(); choose(frame.first); toSteps(); });
    row.append(link);
  }
  return row;
}
// The flame graph

let zoomed = 0;
function showFlame() {
  const place = byId("flame"), width = place.clientWidth || 800;
  place.replaceChildren(flameGraph(flameRows(frames, zoomed, width), width, {
    shade: (index) => (frames[index].error ? "lost" : `f${frames[index].account % 5}`),
    label: (index) => flameLabel(frames[index]),
    say: flameText,
    zoom: (index) => { zoomed = index; showFlame(); },
    tell: describe,
  }));
  byId("flame-out").disabled = zoomed === 0;
  describe(zoomed);
}
const flameLabel = (frame) => `${frame.kind} ${codeLabel(frame) || (frame.to ? short(frame.to) : "")} ${frame.used === null ? "" : number(frame.used)}`.replace(/ +/g, " ");
function flameText(index) {
  const frame = frames[index];
  const used = frame.used === null ? "gas not told" : `${number(frame.used)} gas${gasShares(frames, index)}`;
  return [frame.kind, codeLabel(frame), frame.to, used, errorOf(frame)].filter(Boolean).join(" · ");
}
const describe = (index) => { byId("flame-text").textContent = flameText(index); };

// Instructions and storage

const total = data.opcodes.reduce((sum, row) => sum + plain(row[2]), 0);
function showOpcodes(key, downwards) {
  const order = key === 3 ? 2 : key;
  const rows = [...data.opcodes].sort((one, other) => {
    const by = order === 0 ? (one[0] < other[0] ? -1 : 1) : plain(one[order]) - plain(other[order]);
    return downwards ? -by : by;
  });
  byId("opcode-table").tBodies[0].replaceChildren(...rows.slice(0, 2000).map(([name, times, gas]) => {
    const share = total ? plain(gas) / total : 0;
    const find = make("button", { type: "button", class: "link mono", "aria-label": `Find ${name} among the steps` }, name);
    find.addEventListener("click", () => { byId("find").value = name; search(); toSteps(); });
    const bar = make("svg", { viewBox: "0 0 100 3", preserveAspectRatio: "none", "aria-hidden": "true" },
      make("rect", { class: "track", width: 100, height: 3 }), make("rect", { width: 100 * share, height: 3 }));
    return make("tr", {}, make("td", {}, find), make("td", { class: "number" }, number(times)),
      make("td", { class: "number" }, number(gas)), make("td", { class: "number share" }, `${(100 * share).toFixed(1)}%`, bar));
  }));
  document.querySelectorAll("#opcode-table th").forEach((head, index) => {
    if (index === key) head.setAttribute("aria-sort", downwards ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}
document.querySelectorAll("#opcode-table button[data-key]").forEach((button) => {
  button.addEventListener("click", () => {
    const now = button.parentElement.getAttribute("aria-sort");
    const key = Number(button.dataset.key);
    showOpcodes(key, now ? now === "ascending" : key !== 0);
  });
});
function wordBox(index, kind) {
  return make("td", { class: `mono wide ${kind || ""}`, title: `0x${words[index]}` }, shortWord(words[index]));
}
function showStorage() {
  const place = byId("storage-rows");
  if (!data.storage.length) { place.append(make("p", { class: "quiet" }, "No slot was written.")); return; }
  const byAccount = new Map();
  for (const row of data.storage) {
    if (!byAccount.has(row[0])) byAccount.set(row[0], []);
    byAccount.get(row[0]).push(row);
  }
  let shown = 0;
  for (const [account, rows] of byAccount) {
    if (shown > 2000) { place.append(make("p", { class: "quiet" }, `${number(data.storage.length - shown)} more rows.`)); break; }
    const body = make("tbody", {}, ...rows.slice(0, 2000).map(storageRow));
    shown += rows.length;
    place.append(make("h3", {}, accountName(account)),
      make("table", {}, make("thead", {}, make("tr", {}, ...["Slot", "Before", "After", "Writes", ""].map((text) => make("th", { scope: "col", class: text === "Writes" ? "number" : null }, text || make("span", { class: "hidden" }, "Kept"))))), body));
    if (rows.length > 2000) place.append(make("p", { class: "quiet" }, `${number(rows.length - 2000)} more slots of this account.`));
  }
}
function storageRow([, slot, before, after, writes, undone]) {
  return make("tr", { class: undone ? "undone" : null }, wordBox(slot),
    before < 0 ? make("td", { class: "quiet" }, "not read") : wordBox(before), wordBox(after, "new"),
    make("td", { class: "number" }, number(writes)),
    make("td", {}, undone ? make("span", { class: "badge warn" }, "undone") : null));
}

// Steps: stacks are chains of cells, so that each step has its own and all share what did not change.

const tops = new Array(count), fresh = steps.pushed;
(() => {
  const last = new Map();
  let at = 0;
  for (let index = 0; index < count; index++) {
    let cell = last.get(steps.frame[index]) || null;
    for (let gone = steps.popped[index]; gone > 0 && cell; gone--) cell = cell.below;
    for (let new_ = fresh[index]; new_ > 0; new_--) cell = { word: steps.stackWords[at++], below: cell, size: cell ? cell.size + 1 : 1 };
    tops[index] = cell;
    last.set(steps.frame[index], cell);
  }
})();
const listed = (step) => step >= steps.first && step < steps.first + count;
const list = byId("list"), rowsPlace = byId("list-rows");
byId("list-space").style.height = `${count * ROW}px`;
for (const [name, column] of [["--gas", steps.gas], ["--cost", steps.cost]]) {
  const widest = column.reduce((most, value) => (plain(value) > plain(most) ? value : most), 0);
  document.documentElement.style.setProperty(name, `${Math.min(20, Math.max(5, number(widest).length))}ch`);
}
let chosen = 0, matches = [], pattern = "";

function showRows() {
  const from = Math.max(0, Math.floor(list.scrollTop / ROW) - 10);
  const to = Math.min(count, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 10);
  rowsPlace.style.transform = `translateY(${from * ROW}px)`;
  const rows = [];
  for (let index = from; index < to; index++) rows.push(listRow(index));
  rowsPlace.replaceChildren(...rows);
}
function listRow(index) {
  const name = names[steps.op[index]], depth = frames[steps.frame[index]].depth;
  const fails = steps.errors[index + steps.first];
  const row = make("div", {
    role: "option", id: `s${index}`, "aria-selected": index === chosen, "aria-posinset": index + 1, "aria-setsize": count,
    class: `${fails ? "fails" : ""} ${pattern && matchesName(name) ? "hit" : ""}`,
  }, make("span", {}, number(index + steps.first)), make("span", {}, offset(steps.pc[index])),
  make("span", { class: "op", title: fails || name }, `${"· ".repeat(Math.min(depth, 8))}${name}`),
  make("span", {}, number(steps.gas[index])), make("span", {}, number(steps.cost[index])));
  row.addEventListener("mousedown", () => choose(index + steps.first));
  return row;
}
let drawing = 0;
list.addEventListener("scroll", () => {
  if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; showRows(); });
});

function choose(step, keepHash) {
  if (!count) return;
  chosen = Math.max(0, Math.min(count - 1, step - steps.first));
  const top = chosen * ROW;
  const above = list.scrollTop - top, below = top + ROW - list.scrollTop - list.clientHeight;
  // A step next to what is shown moves the list no further than it must; one that is far away comes to its middle.
  if (Math.max(above, below) > 2 * ROW) list.scrollTop = top - list.clientHeight / 2;
  else if (above > 0) list.scrollTop = top;
  else if (below > 0) list.scrollTop += below;
  showRows();
  list.setAttribute("aria-activedescendant", `s${chosen}`);
  showStep();
  if (!keepHash) history.replaceState(null, "", `#step=${chosen + steps.first}`);
}
const toSteps = () => { byId("steps").scrollIntoView(); list.focus({ preventScroll: true }); };

function showStep() {
  const index = chosen, frame = frames[steps.frame[index]];
  byId("now").textContent = `${names[steps.op[index]]} at ${offset(steps.pc[index])}`;
  byId("now-error").textContent = steps.errors[index + steps.first] || "";
  const facts = [
    ["Step", number(index + steps.first)], ["pc", number(steps.pc[index])], ["Gas before", number(steps.gas[index])],
    ["Cost", number(steps.cost[index])], ["Depth", number(frame.depth + 1)],
    ["Call", [frame.kind, codeLabel(frame), frame.to ? short(frame.to) : ""].filter(Boolean).join(" ")],
  ];
  if (steps.refund) facts.push(["Refund", number(steps.refund[index])]);
  byId("now-facts").replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  byId("jump").value = index + steps.first;
  showStack(index);
  showMemory(index);
  showReturn(index);
  showSlots(index);
  showCode(index);
}
const note = (text) => make("p", { class: "quiet" }, text);
function showStack(index) {
  const place = byId("stack");
  if (!steps.hasStack) { place.replaceChildren(note("The trace has no stacks.")); return; }
  const rows = [];
  let cell = tops[index];
  byId("stack-title").textContent = `Stack, ${plural(cell ? cell.size : 0, "word")}, top first`;
  for (let at = 0; cell; at++, cell = cell.below) {
    const isNew = at < fresh[index];
    rows.push(make("div", { class: isNew ? "changed" : null }, make("span", { class: "at" }, String(at)),
      make("span", { class: "value" }, `0x${words[cell.word]}`)));
  }
  place.replaceChildren(...(rows.length ? rows : [note("empty")]));
}

// Memory: a frame's changes up to the step are applied to what was shown last, if that was before it.
let shownMemory = { frame: -1, next: 0, size: 0, rows: new Map(), changed: new Set() };
function memoryAt(index) {
  const frame = steps.frame[index], step = index + steps.first, changes = steps.memory[frame] || [];
  const before = shownMemory.next && changes[shownMemory.next - 1];
  if (shownMemory.frame !== frame || (before && before[0] > step)) {
    shownMemory = { frame, next: 0, size: 0, rows: new Map(), changed: new Set() };
  }
  const now = shownMemory;
  while (now.next < changes.length && changes[now.next][0] <= step) {
    const [at, size, rows] = changes[now.next++];
    now.size = size;
    for (const [row, hex] of rows) now.rows.set(row, hex);
    now.changed = new Set(rows.map(([row]) => row));
    now.at = at;
  }
  return { size: now.size, rows: now.rows, changed: now.at === step && now.next ? now.changed : new Set() };
}
const isClipped = (index) => steps.clippedAt !== null && index + steps.first >= steps.clippedAt;
function showMemory(index) {
  const place = byId("memory"), told = steps.memorySize[index];
  byId("memory-title").textContent = told >= 0 ? `Memory, ${plural(told, "byte")}` : "Memory";
  if (!steps.memory) {
    place.replaceChildren(make("p", { class: "quiet" }, "Memory was not recorded. ", make("code", {}, "vmloom run CODE --trace FILE --trace-memory"), " records it."));
    return;
  }
  if (isClipped(index)) { place.replaceChildren(note("Left out: the page has no room for more memory.")); return; }
  const { size, rows, changed } = memoryAt(index);
  const lines = [], limit = 1024, all = Math.ceil(size / 32);
  const wanted = [];
  for (let row = 0; row < all && wanted.length < limit; row++) wanted.push(row);
  for (const row of changed) if (row >= limit && row < all && wanted.length < 2 * limit) wanted.push(row);
  for (const row of wanted) lines.push(memoryRow(row, (rows.get(row) || "").padEnd(2 * Math.min(32, size - 32 * row), "0"), changed.has(row)));
  if (all > wanted.length) lines.push(note(`${number(all - wanted.length)} more rows, none of them changed by this step.`));
  place.replaceChildren(...(lines.length ? lines : [note("empty")]));
}
function memoryRow(row, hex, isNew) {
  const bytes = hex.match(/../g) || [];
  const groups = (hex.match(/.{1,16}/g) || []).join(" ");
  const ascii = bytes.map((pair) => { const value = parseInt(pair, 16); return value > 31 && value < 127 ? String.fromCharCode(value) : "."; }).join("");
  return make("div", { class: isNew ? "changed" : null }, make("span", { class: "at" }, offset(row * 32)),
    make("span", { class: "hex" }, groups), make("span", { class: "ascii", "aria-hidden": "true" }, ascii));
}
function latest(changes, step) {
  // The last of `changes`, which are in order, that begins no later than at `step`; -1 if there is none.
  let low = 0, high = changes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (changes[middle][0] <= step) low = middle + 1; else high = middle;
  }
  return low - 1;
}
function showReturn(index) {
  const place = byId("return");
  if (!steps.returnData) { place.replaceChildren(note("The trace has none.")); return; }
  if (isClipped(index)) { place.replaceChildren(note("Left out: the page has no room for more data.")); return; }
  const changes = steps.returnData[steps.frame[index]] || [];
  const found = latest(changes, index + steps.first);
  const hex = found < 0 ? "" : changes[found][1];
  byId("return-title").textContent = `Return data, ${plural(hex.length / 2, "byte")}`;
  place.replaceChildren(hex ? `0x${hex.slice(0, 8192)}${hex.length > 8192 ? "…" : ""}` : note("empty"));
}
const knownOf = new Map();
data.known.forEach((event) => {
  if (!knownOf.has(event[1])) knownOf.set(event[1], []);
  knownOf.get(event[1]).push(event);
});
function showSlots(index) {
  const account = frames[steps.frame[index]].account, step = index + steps.first, held = new Map();
  byId("slots-title").textContent = `Storage of ${accounts[account] ? short(accounts[account]) : "the account"} known so far`;
  for (const [at, , slot, value] of knownOf.get(account) || []) {
    if (at > step) break;
    held.delete(slot);
    if (value >= 0) held.set(slot, [value, at]);
  }
  const rows = [...held].reverse().slice(0, 200).map(([slot, [value, at]]) => make("div", { class: at === step ? "changed" : null },
    make("span", { class: "remark", title: `0x${words[slot]}` }, shortWord(words[slot])), make("span", { class: "value", title: `0x${words[value]}` }, `= ${shortWord(words[value])}`)));
  if (held.size > 200) rows.push(note(`${number(held.size - 200)} more.`));
  byId("slots").replaceChildren(...(rows.length ? rows : [note("Nothing was read or written yet.")]));
}
function showCode(index) {
  const frame = frames[steps.frame[index]], part = byId("code-part");
  part.hidden = frame.code < 0;
  if (frame.code < 0) return;
  const { label, lines } = data.codes[frame.code];
  byId("code-title").textContent = `Code of ${label}`;
  const here = latest(lines, steps.pc[index]);
  byId("code").replaceChildren(...lines.slice(Math.max(0, here - 8), here + 12).map(([at, name, operand, remark]) =>
    make("div", { class: at === steps.pc[index] ? "here" : null }, make("span", { class: "at" }, offset(at)),
      make("span", {}, name), make("span", { class: "value wide" }, operand), make("span", { class: "remark" }, remark))));
}

// Finding

const matchesName = (name) => name.toUpperCase().startsWith(pattern);
function gather() {
  pattern = byId("find").value.trim().toUpperCase();
  const wanted = new Set();
  // A whole name is meant alone, such as LOG1 where there is LOG10; else all that begin with it.
  const whole = names.findIndex((name) => name.toUpperCase() === pattern);
  names.forEach((name, index) => { if (pattern && (whole >= 0 ? index === whole : matchesName(name))) wanted.add(index); });
  matches = [];
  if (wanted.size) for (let index = 0; index < count; index++) if (wanted.has(steps.op[index])) matches.push(index);
}
function search() { gather(); go(1, true); }
function go(way, includeHere) {
  if (!pattern) { byId("found").textContent = ""; showRows(); return; }
  if (!matches.length) { byId("found").textContent = "no step"; showRows(); return; }
  let low = 0;
  while (low < matches.length && (way > 0 ? (includeHere ? matches[low] < chosen : matches[low] <= chosen) : matches[low] < chosen)) low++;
  let at = way > 0 ? low : low - 1;
  at = (at + matches.length) % matches.length;
  choose(matches[at] + steps.first);
  byId("found").textContent = `${number(at + 1)} of ${number(matches.length)}`;
}
byId("names").append(...names.slice(0, 500).sort().map((name) => make("option", { value: name })));
byId("find").addEventListener("input", () => { gather(); byId("found").textContent = pattern ? plural(matches.length, "step") : ""; showRows(); });
byId("step-bar").addEventListener("submit", (event) => {
  event.preventDefault();
  if (document.activeElement === byId("jump")) jump(); else { gather(); go(1); }
});
byId("find-back").addEventListener("click", () => { gather(); go(-1); });
function jump() {
  const wanted = Number(byId("jump").value.replaceAll(",", ""));
  if (Number.isFinite(wanted)) { choose(wanted); list.focus({ preventScroll: true }); }
}
byId("jump").addEventListener("change", jump);

// Moving

function over() {
  const frame = steps.frame[chosen];
  let index = chosen + 1;
  const own = frames[frame].depth;
  while (index < count && steps.frame[index] !== frame && frames[steps.frame[index]].depth > own) index++;
  choose(index + steps.first);
}
function out() {
  const parent = frames[steps.frame[chosen]].parent;
  for (let index = chosen; index >= 0; index--) if (steps.frame[index] === parent) { choose(index + steps.first); return; }
}
const by = (way) => choose(chosen + way + steps.first);
const page = () => Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
const anywhere = {
  j: () => by(1), k: () => by(-1), o: over, u: out, n: () => { gather(); go(1); }, N: () => { gather(); go(-1); },
  "/": () => { byId("find").focus(); byId("find").select(); }, g: () => { byId("jump").focus(); byId("jump").select(); },
};
const inList = {
  ArrowDown: () => by(1), ArrowUp: () => by(-1), PageDown: () => by(page()), PageUp: () => by(-page()),
  Home: () => choose(0), End: () => choose(steps.first + count),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target instanceof HTMLInputElement) {
    if (event.key === "Escape") list.focus({ preventScroll: true });
    return;
  }
  const act = anywhere[event.key] || (event.target === list ? inList[event.key] : null);
  if (!act) return;
  event.preventDefault();
  act();
});
for (const [id, act] of [["step-back", () => by(-1)], ["step-next", () => by(1)], ["step-over", over], ["step-out", out]]) {
  byId(id).addEventListener("click", act);
}
byId("flame-out").addEventListener("click", () => { zoomed = Math.max(0, frames[zoomed].parent); showFlame(); });
addEventListener("resize", showRows);
let drawnWidth = byId("flame").clientWidth;
new ResizeObserver(() => {
  if (byId("flame").clientWidth === drawnWidth) return;
  drawnWidth = byId("flame").clientWidth;
  showFlame();
}).observe(byId("flame"));
function followHash(keep) {
  const match = /^#step=(\d+)$/.exec(location.hash);
  if (match) { choose(Number(match[1]), keep); byId("steps").scrollIntoView({ behavior: "instant" }); }
  return Boolean(match);
}
addEventListener("hashchange", () => followHash(true));

showOutcome();
byId("tree").append(treeOfCalls(frames, callRow));
showFlame();
showOpcodes(2, true);
showStorage();
if (count) { if (!followHash(true)) choose(steps.first, true); }
else byId("details").replaceChildren(note("There are no steps to show."));
document.documentElement.dataset.ready = "yes";
