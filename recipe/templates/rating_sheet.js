"use strict";
// Texts of the data reach the page through textContent only: no couplet can become an element or run.

const data = JSON.parse(document.getElementById("data").textContent);
let storageName = `rating-sheet ${data.sheet} ${data.number}`;
const isPair = data.kind === "pair";
const CHOICE_KEYS = { a: "A", b: "B", t: "tie", x: "both_bad", 1: "A", 2: "B", 3: "tie", 4: "both_bad" };

const TEXTS = {
  zh: {
    other: "English", save: "保存", file: "保存", start: "开始", goOn: "接着评", next: "下一题", back: "上一题", comment: "评语（可不写）", empty: "（空）",
    title: "请您评联", name: "您的称呼（会写进评分文件，可用化名）", nameMissing: "请先填写称呼",
    introAbsolute: "每次看到一个答案，请按下表逐项打分。不必猜测是谁写的；凭第一印象即可。",
    introPair: "每次看到同一题的两个答案，请选较好的一个；难分高下选“平”，都不像样选“都不好”。",
    blind: "系统名称已隐藏，次序已打乱，其中混有少量故意弄坏的答案，照实评就好。",
    kept: "进度自动存在本浏览器里，可以随时关掉再来；评完请按“保存”，把得到的文件交回。",
    keysAbsolute: "键盘：数字键打分，← → 翻页，回车下一题。", keysPair: "键盘：A、B 选择，T 平，X 都不好，← → 翻页。",
    tie: "平：难分高下", both_bad: "都不好",
    done: "评完了，谢谢！", undone: "还有 {n} 题没有评完。", gotoMissing: "去第一道没评完的题",
    saved: "已保存 {n} 条评分。", copy: "如果浏览器不能保存文件，请复制以下内容交回：",
    noStorage: "这个浏览器不让网页保存进度，关掉前请先按“保存”。",
  },
  en: {
    other: "中文", save: "Save", file: "Save", start: "Begin", goOn: "Go on", next: "Next", back: "Back", comment: "Comment (optional)", empty: "(empty)",
    title: "Rating sheet", name: "Your name (written into the file; a pseudonym will do)", nameMissing: "Please give a name first",
    introAbsolute: "You see one answer at a time. Rate it in each dimension by the table below. Do not guess who wrote it; first impressions are fine.",
    introPair: "You see two answers to one prompt. Choose the better one; “tie” if neither is better, “both bad” if neither will do.",
    blind: "Systems are hidden and the order is shuffled. A few answers were broken on purpose: rate them as they are.",
    kept: "Progress is kept in this browser, so you can close the page and come back. When done, press Save and hand in the file.",
    keysAbsolute: "Keyboard: digits rate, ← → move, Enter goes on.", keysPair: "Keyboard: A or B chooses, T is a tie, X both bad, ← → move.",
    tie: "Tie", both_bad: "Both bad",
    done: "All done, thank you!", undone: "{n} are not finished yet.", gotoMissing: "Go to the first unfinished one",
    saved: "{n} ratings saved.", copy: "If the browser cannot save a file, copy this and hand it in:",
    noStorage: "This browser does not let the page keep your progress: press Save before you close it.",
  },
};

// What a page on a server does beside this (rating_server.js); one that was opened from disk has nobody to tell.
const keeper = { begin: null, hasBegun: () => false, leave() {}, changed() {}, flush: null, pending: () => 0 };

let canStore = true;
let state = { rater: "", language: data.language, place: -1, answers: {} };
let currentDimension = 0;

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(storageName));
    if (kept && typeof kept === "object" && kept.answers) state = Object.assign(state, kept);
  } catch (error) {
    canStore = false;
  }
}

function keep() {
  try {
    localStorage.setItem(storageName, JSON.stringify(state));
  } catch (error) {
    canStore = false;
  }
}

const words = () => TEXTS[state.language];
const byId = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const nameOf = (entry) => (entry.other ? `${entry.system}|${entry.other}` : entry.system);

function answerTo(entry) {
  return (state.answers[nameOf(entry)] ??= { values: {}, comment: "" });
}

function isComplete(entry) {
  const given = state.answers[nameOf(entry)];
  return Boolean(given) && (isPair ? "overall" in given.values : data.dimensions.every(({ key }) => key in given.values));
}

const missing = () => data.entries.filter((entry) => !isComplete(entry)).length;

function lineOf(label, text, long) {
  const line = make("div", { className: "line", lang: "zh-CN", textContent: text || words().empty });
  if (!text) line.classList.add("empty");
  if (long) line.classList.add("long");
  return [make("div", { className: "line-label", textContent: label }), line];
}

const isLong = (entry) => [entry.prompt, entry.answer, entry.other_answer].some((text) => text.length > 24);

function anchorTable() {
  const rows = data.dimensions.map(({ name, question, anchors }) => {
    const listed = make("td");
    for (const [point, text] of anchors[state.language]) listed.append(make("div", { textContent: `${point}  ${text}` }));
    const title = make("th", { textContent: name[state.language] });
    title.append(make("div", { className: "line-label", textContent: question[state.language] }));
    return make("tr", {}, title, listed);
  });
  return make("div", { className: "scroll" }, make("table", {}, ...rows));
}

function showStart() {
  const input = make("input", { type: "text", id: "rater", value: state.rater, maxLength: 60, autocomplete: "off" });
  const form = make("form", { className: "card" });
  form.append(
    make("h1", { textContent: words().title }),
    make("p", { textContent: isPair ? words().introPair : words().introAbsolute }),
    make("p", { textContent: words().blind }),
    make("p", { textContent: words().kept }),
    make("p", { className: "keys", textContent: isPair ? words().keysPair : words().keysAbsolute }),
    make("label", { htmlFor: "rater", textContent: words().name }), input,
    make("p", {}), make("button", { className: "main", type: "submit", textContent: missing() < data.entries.length ? words().goOn : words().start }),
  );
  if (keeper.hasBegun()) {
    input.readOnly = true;
    const leave = make("button", { type: "button", textContent: words().leave });
    leave.addEventListener("click", () => keeper.leave());
    form.append(" ", leave);
  }
  if (!isPair) form.append(make("p", {}), anchorTable());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    state.rater = input.value.trim();
    if (!state.rater) return warn(words().nameMissing);
    warn("");
    if (keeper.begin && !keeper.hasBegun() && !(await keeper.begin())) return;
    const first = data.entries.findIndex((entry) => !isComplete(entry));
    go(first < 0 ? data.entries.length : first);
  });
  byId("start").replaceChildren(form);
}

function rate(entry, key, value, byKey) {
  const wasComplete = isComplete(entry);
  answerTo(entry).values[key] = value;
  keep();
  keeper.changed(entry);
  if (isComplete(entry) && !wasComplete) return go(state.place + 1);
  if (byKey) currentDimension = Math.min(currentDimension + 1, data.dimensions.length - 1);
  show();
}

function dimensionOf(entry, dimension, number) {
  const { key, name, question, anchors } = dimension;
  const given = answerTo(entry).values[key];
  const anchor = make("div", { className: "anchor" });
  const describe = (point) => {
    const found = anchors[state.language].find(([at]) => at === point);
    const ends = [anchors[state.language][0], anchors[state.language].at(-1)];
    anchor.textContent = (found ? [found] : ends).map(([at, text]) => `${at}  ${text}`).join(" … ");
  };
  const points = make("div", { className: "points", role: "group" });
  points.setAttribute("aria-label", name[state.language]);
  for (let point = 1; point <= data.points; point++) {
    const button = make("button", { type: "button", className: "point", textContent: String(point) });
    const text = anchors[state.language].find(([at]) => at === point);
    button.title = text ? text[1] : "";
    button.setAttribute("aria-pressed", String(given === point));
    button.addEventListener("mouseenter", () => describe(point));
    button.addEventListener("focus", () => describe(point));
    button.addEventListener("mouseleave", () => describe(given));
    button.addEventListener("click", () => { currentDimension = number; rate(entry, key, point, false); });
    points.append(button);
  }
  describe(given);
  const box = make("div", { className: "dimension" },
    make("span", { className: "name", textContent: name[state.language] }),
    make("span", { className: "question", textContent: question[state.language] }), points, anchor);
  if (number === currentDimension) box.classList.add("current");
  return box;
}

function pairOf(entry) {
  const given = answerTo(entry).values.overall;
  const button = (value, ...content) => {
    const made = make("button", { type: "button", className: "choice" }, ...content);
    made.setAttribute("aria-pressed", String(given === value));
    made.addEventListener("click", () => rate(entry, "overall", value, false));
    return made;
  };
  const label = data.labels[state.language][1];
  const both = make("div", { className: "two" },
    button("A", ...lineOf(`${label} A`, entry.answer, isLong(entry))),
    button("B", ...lineOf(`${label} B`, entry.other_answer, isLong(entry))));
  const rest = make("div", { className: "choices" }, button("tie", words().tie), button("both_bad", words().both_bad));
  return [both, rest];
}

function showEntry() {
  const entry = data.entries[state.place];
  const [promptLabel, answerLabel] = data.labels[state.language];
  const card = make("div", { className: "card" }, ...lineOf(promptLabel, entry.prompt, isLong(entry)));
  if (!isPair) card.append(...lineOf(answerLabel, entry.answer, isLong(entry)));
  const comment = make("textarea", { rows: 1, id: "comment", value: answerTo(entry).comment, placeholder: words().comment, maxLength: 2000 });
  comment.setAttribute("aria-label", words().comment);
  comment.addEventListener("input", () => { answerTo(entry).comment = comment.value; keep(); keeper.changed(entry); });
  const back = make("button", { type: "button", textContent: words().back, disabled: state.place === 0 });
  back.addEventListener("click", () => go(state.place - 1));
  const next = make("button", { type: "button", className: isComplete(entry) ? "main" : "", textContent: words().next });
  next.addEventListener("click", () => go(state.place + 1));
  const asked = isPair ? pairOf(entry) : data.dimensions.map((dimension, number) => dimensionOf(entry, dimension, number));
  byId("sheet").replaceChildren(card, ...asked, comment, make("div", { className: "foot" }, back, next));
}

function showEnd() {
  const left = missing();
  const card = make("div", { className: "card" },
    make("h1", { textContent: left ? words().undone.replace("{n}", left) : words().done }));
  if (left) {
    const go_back = make("button", { type: "button", textContent: words().gotoMissing });
    go_back.addEventListener("click", () => go(data.entries.findIndex((entry) => !isComplete(entry))));
    card.append(go_back, " ");
  }
  if (keeper.begin && !keeper.pending()) {
    card.append(make("p", { textContent: words().stored }));
  } else {
    const save = make("button", { type: "button", className: "main", textContent: words().file });
    save.addEventListener("click", saveFile);
    const copy = make("textarea", { rows: 4, readOnly: true, value: lines() });
    card.append(save, make("p", {}), make("p", { className: "line-label", textContent: words().copy }), copy);
  }
  const back = make("button", { type: "button", textContent: words().back });
  back.addEventListener("click", () => go(data.entries.length - 1));
  byId("end").replaceChildren(card, back);
}

function show() {
  document.documentElement.lang = state.language === "zh" ? "zh-CN" : "en";
  const isStart = state.place < 0, isEnd = state.place >= data.entries.length;
  byId("start").hidden = !isStart;
  byId("sheet").hidden = isStart || isEnd;
  byId("end").hidden = !isEnd;
  const total = data.entries.length, done = total - missing();
  byId("count").textContent = total ? `${done} / ${total}` : "";
  byId("track").setAttribute("aria-valuemax", total);
  byId("track").setAttribute("aria-valuenow", done);
  byId("filled").style.width = `${total ? (100 * done) / total : 0}%`;
  byId("language").textContent = words().other;
  byId("save").textContent = words().save;
  byId("save").hidden = !total;
  if (isStart) showStart(); else if (isEnd) showEnd(); else showEntry();
  if (!canStore) warn(words().noStorage);
}

function go(place) {
  state.place = Math.max(0, Math.min(place, data.entries.length));
  currentDimension = 0;
  keep();
  window.scrollTo(0, 0);
  show();
}

function warn(text) {
  byId("warning").textContent = text;
  byId("warning").hidden = !text;
}

// The ratings as JSON Lines, the format that the analysis reads.
function records() {
  const found = [];
  for (const entry of data.entries) {
    const given = state.answers[nameOf(entry)];
    if (!given) continue;
    const common = { item: entry.item, system: entry.system, rater: state.rater || "unnamed", sheet: data.sheet };
    if (entry.other) common.other = entry.other;
    for (const [dimension, value] of Object.entries(given.values)) {
      found.push(isPair ? { kind: "pair", ...common, dimension, value }
        : { kind: "absolute", ...common, dimension, value, points: data.points });
    }
    if (given.comment.trim()) found.push({ kind: "comment", ...common, comment: given.comment.trim() });
  }
  return found;
}

const lines = () => records().map((record) => JSON.stringify(record) + "\n").join("");

function saveFile() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines()], { type: "application/jsonl" }));
  link.download = `ratings-${(state.rater || "unnamed").replace(/[^\p{L}\p{N}_-]+/gu, "_")}-${data.number}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  warn(words().saved.replace("{n}", records().length));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = ["TEXTAREA", "INPUT"].includes(event.target.tagName);
  if (isTyping) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (state.place < 0 || state.place > data.entries.length) return;
  if (event.key === "ArrowLeft") return go(state.place - 1);
  if (event.key === "ArrowRight") return go(state.place + 1);
  if (state.place === data.entries.length) return;
  const entry = data.entries[state.place];
  if (event.key === "Enter" && event.target.tagName !== "BUTTON") return go(state.place + 1);
  if (isPair && event.key.toLowerCase() in CHOICE_KEYS) return rate(entry, "overall", CHOICE_KEYS[event.key.toLowerCase()], true);
  const point = Number(event.key);
  if (!isPair && Number.isInteger(point) && point >= 1 && point <= data.points) {
    rate(entry, data.dimensions[currentDimension].key, point, true);
  }
}

document.addEventListener("keydown", onKey);
byId("save").addEventListener("click", () => (keeper.flush ?? saveFile)());
byId("language").addEventListener("click", () => { state.language = state.language === "zh" ? "en" : "zh"; keep(); show(); });
load();
state.place = -1; // everybody begins at the instructions; Begin leads to the first unfinished entry
show();
