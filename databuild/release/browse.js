"use strict";
// Everything that comes from rows is written with textContent: never as markup.
const PAGE = 50, MOST_VALUES = 40;
const TEXTS = ["prompt", "messages", "chosen", "rejected", "edited", "response", "response_a", "response_b", "text", "reasoning"];
const GRADES = ["strength", "grade", "vote", "label", "rating", "verdict", "weight", "agreement", "margin",
  "chosen_score", "rejected_score", "score", "annotator", "annotators", "n_votes", "voted_at", "simulated", "comment"];
const at = (id) => document.getElementById(id);
let tables = [], made = {}, table = null, found = [], page = 0, filters = {}, open = null;

function make(tag, name, text) {
  const one = document.createElement(tag);
  if (name) one.className = name;
  if (text !== undefined) one.textContent = text;
  return one;
}

function told(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.length && value[0] && value[0].role) return value.map(said).join("\n\n");
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value, null, 1) : String(value);
}

function said(turn) {
  const calls = turn.tool_calls && turn.tool_calls.length ? "\n" + JSON.stringify(turn.tool_calls) : "";
  return turn.role + ": " + (turn.content || "") + calls;
}

function has(name, row) {
  const column = table.columns[name];
  return column && column[row] !== null && column[row] !== undefined && told(column[row]) !== "";
}

// Text with what is searched for marked.
function put(into, text) {
  const word = at("search").value.trim().toLowerCase(), low = text.toLowerCase();
  let from = 0;
  if (word && low.length === text.length) {
    for (let to = low.indexOf(word); to >= 0; to = low.indexOf(word, from)) {
      into.append(text.slice(from, to), make("mark", "", text.slice(to, to + word.length)));
      from = to + word.length;
    }
  }
  into.append(text.slice(from));
  return into;
}

function choose(number) {
  table = tables[number];
  filters = {};
  at("filters").replaceChildren();
  for (const [name, values] of Object.entries(table.columns)) {
    if (TEXTS.includes(name) || name === "row_id") continue;
    const kinds = new Map();
    for (const value of values) {
      if (value !== null && typeof value === "object") { kinds.clear(); break; }
      const key = told(value);
      kinds.set(key, (kinds.get(key) || 0) + 1);
      if (kinds.size > MOST_VALUES) break;
    }
    const isNumber = values.some((one) => typeof one === "number" && !Number.isInteger(one));
    if (kinds.size < 2 || kinds.size > MOST_VALUES || isNumber) continue;
    const select = make("select");
    select.setAttribute("aria-label", name);
    select.append(new Option(name + ": all", ""));
    for (const [value, n] of [...kinds].sort((a, b) => b[1] - a[1]))
      select.append(new Option(name + ": " + (value || "(none)") + " (" + n + ")", "=" + value));
    select.onchange = () => { filters[name] = select.value; filter(); };
    at("filters").append(select, " ");
  }
  filter();
}

function filter() {
  const word = at("search").value.trim().toLowerCase();
  const names = TEXTS.filter((name) => table.columns[name]);
  const asked = Object.entries(filters).filter(([, value]) => value);
  found = [];
  for (let row = 0; row < table.columns.row_id.length; row++) {
    if (!asked.every(([name, value]) => "=" + told(table.columns[name][row]) === value)) continue;
    if (word && !table.columns.row_id[row].startsWith(word)
      && !names.some((name) => told(table.columns[name][row]).toLowerCase().includes(word))) continue;
    found.push(row);
  }
  page = 0; open = null;
  show();
}

function show() {
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  at("count").textContent = found.length.toLocaleString("en") + " of " + table.columns.row_id.length.toLocaleString("en")
    + " rows; page " + (page + 1) + " of " + pages;
  at("before").disabled = page === 0;
  at("after").disabled = page >= pages - 1;
  const lines = [];
  for (const row of found.slice(page * PAGE, page * PAGE + PAGE)) {
    const line = make("button", "row");
    line.setAttribute("aria-expanded", String(open === row));
    for (const name of ["prompt", "text", "chosen", "response", "response_a", "messages"].filter((n) => has(n, row)).slice(0, 2))
      line.append(put(make("span", "line"), told(table.columns[name][row]).slice(0, 300)));
    const facts = GRADES.filter((name) => has(name, row)).slice(0, 5);
    line.append(make("span", "facts", facts.map((name) => name + " " + told(table.columns[name][row]).slice(0, 60)).join(" · ")));
    line.onclick = () => { open = open === row ? null : row; show(); at("rows").querySelector("[aria-expanded=true]")?.focus(); };
    lines.push(line);
    if (open === row) lines.push(detail(row));
  }
  at("rows").replaceChildren(...lines);
}

function block(name, row, kind) {
  const box = make("div", kind || "");
  box.append(make("h2", "", name), put(make("div", "text"), told(table.columns[name][row])));
  return box;
}

function detail(row) {
  const box = make("div", "open"), done = new Set(["row_id"]);
  box.append(make("div", "id", table.columns.row_id[row]));
  const grades = make("div");
  for (const name of GRADES.filter((one) => has(one, row))) {
    const chip = make("span", "chip", name + " ");
    chip.append(make("b", "", told(table.columns[name][row])));
    grades.append(chip);
    done.add(name);
  }
  box.append(grades);
  for (const name of ["prompt", "messages", "text"].filter((one) => has(one, row))) { box.append(block(name, row)); done.add(name); }
  for (const [left, right] of [["chosen", "rejected"], ["response_a", "response_b"]]) {
    if (!has(left, row) || !has(right, row)) continue;
    const sides = make("div", "sides");
    sides.append(block(left, row, left === "chosen" ? "chosen" : ""), block(right, row, left === "chosen" ? "rejected" : ""));
    box.append(sides);
    done.add(left); done.add(right);
  }
  for (const name of TEXTS.filter((one) => has(one, row) && !done.has(one))) { box.append(block(name, row)); done.add(name); }
  const rest = Object.keys(table.columns).filter((name) => !done.has(name) && has(name, row));
  if (rest.length) {
    const facts = make("table");
    for (const name of rest) {
      const line = make("tr");
      line.append(make("td", "", name), make("td", "", told(table.columns[name][row])));
      facts.append(line);
    }
    box.append(make("h2", "", "What else is known of it"), facts);
  }
  const way = lineage(table.columns.row_id[row], new Set());
  if (way) { const list = make("ul"); list.append(way); box.append(make("h2", "", "Where it comes from"), list); }
  return box;
}

function lineage(id, above) {
  const one = made[id];
  if (!one || above.has(id)) return null;
  const item = make("li");
  item.append(make("b", "", one.step), make("span", "quiet", " (" + one.use + ") "), make("span", "id", id.slice(0, 10) + " "));
  for (const [name, value] of Object.entries(one)) {
    if (["step", "use", "parent_ids"].includes(name)) continue;
    const chip = make("span", "chip", name + " ");
    chip.append(make("b", "", told(value)));
    item.append(chip);
  }
  const below = make("ul"), seen = new Set(above).add(id);
  for (const parent of one.parent_ids || []) { const next = lineage(parent, seen); if (next) below.append(next); }
  if (below.childNodes.length) item.append(below);
  return item;
}

async function unpack() {
  const bytes = Uint8Array.from(atob(at("data").textContent.trim()), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  ({ tables, made } = JSON.parse(await new Response(stream).text()));
  tables.forEach((one, number) => at("table").append(
    new Option(one.config + " / " + one.split + " (" + one.columns.row_id.length.toLocaleString("en") + ")", number)));
  at("table").onchange = () => choose(Number(at("table").value));
  at("search").oninput = filter;
  at("before").onclick = () => { page--; open = null; show(); scrollTo(0, 0); };
  at("after").onclick = () => { page++; open = null; show(); scrollTo(0, 0); };
  choose(0);
}

unpack();
