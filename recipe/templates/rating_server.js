
// The same page where a server hands it out: the questions come with a name, and every rating goes back at once.
// What could not be sent stays in the browser and is sent again.

Object.assign(TEXTS.zh, {
  kept: "评分随评随存到服务器，同时留在本浏览器里；可以随时关掉，再用同一个浏览器打开接着评。",
  leave: "换人来评", file: "存成文件",
  stored: "评分都已存到服务器上，可以关掉此页；想改的题随时可以翻回去改。",
  noStorage: "这个浏览器不让网页记住您是谁：评过的都在服务器上，但关掉后不能用同一个称呼接着评。",
  sent: "评分都已存到服务器上。", lost: "服务器暂时连不上，请稍后再试。",
  unsent: "服务器暂时连不上，{n} 题还只存在本浏览器里，稍后会自动再试。",
});
Object.assign(TEXTS.en, {
  kept: "Each rating is stored on the server at once, and kept in this browser too: close the page whenever you like and go on later in the same browser.",
  leave: "Somebody else rates", file: "Save a file",
  stored: "All your ratings are stored on the server; you can close the page. You can still go back and change them.",
  noStorage: "This browser does not let the page remember you: what you rate is stored on the server, but once you close the page you cannot go on under the same name.",
  sent: "All your ratings are stored on the server.",
  lost: "The server cannot be reached; try again later.",
  unsent: "The server cannot be reached. {n} answers are only in this browser for now; the page will try again.",
});

const MOST_AT_ONCE = 8; // answers in one request, which takes 64 KiB: a comment alone may have 2,000 characters
const RETRY_AFTER = 8000; // milliseconds
const visitorName = `rating-visitor ${data.sheet}`;
let visitor = null; // { rater, token }
let timer = 0;
let isSending = false;
let mayTryAgain = false; // after a request that failed
const unsent = new Set();

// Returns what the server says, or null after telling why not. A refusal is final; a lost connection or a server in
// trouble is not.
async function post(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...body, language: state.language }),
    });
    const found = await response.json();
    if (response.ok) return found;
    mayTryAgain = response.status >= 500;
    warn(found.error.message);
  } catch (error) {
    mayTryAgain = true;
    warn(unsent.size ? words().unsent.replace("{n}", unsent.size) : words().lost);
  }
  return null;
}

function remember(found) {
  visitor = found;
  try {
    if (found) localStorage.setItem(visitorName, JSON.stringify(found));
    else localStorage.removeItem(visitorName);
  } catch (error) {
    canStore = false;
  }
}

function remembered() {
  try {
    const found = JSON.parse(localStorage.getItem(visitorName));
    return found && found.rater && found.token ? found : null;
  } catch (error) {
    return null;
  }
}

const isSame = (one, other) => Boolean(other) && one.comment === other.comment &&
  Object.keys(one.values).every((key) => one.values[key] === other.values[key]);

async function begin() {
  const known = remembered();
  const token = known && known.rater === state.rater ? known.token : "";
  const found = await post("begin", { rater: state.rater, token });
  if (!found) return false;
  remember({ rater: found.rater, token: found.token });
  data.number = found.number;
  data.entries = found.entries;
  storageName = `rating-sheet ${data.sheet} ${data.number} ${found.rater}`;
  const { language } = state;
  state.answers = {};
  load(); // what this browser kept is newer than what the server has, or the same
  Object.assign(state, { rater: found.rater, language, place: -1 });
  for (const [name, given] of Object.entries(found.answers)) state.answers[name] ??= given;
  for (const [name, given] of Object.entries(state.answers)) if (!isSame(given, found.answers[name])) unsent.add(name);
  keep();
  flush();
  return true;
}

async function flush(isAsked) {
  clearTimeout(timer);
  if (isSending) return;
  isSending = true;
  let isFine = true;
  while (isFine && unsent.size) {
    const names = [...unsent].slice(0, MOST_AT_ONCE);
    const answers = names.map((name) => {
      const [system, other = ""] = name.split("|");
      return { system, other, ...state.answers[name] };
    });
    const sent = names.map((name) => JSON.stringify(state.answers[name]));
    isFine = Boolean(await post("save", { ...visitor, answers }));
    if (isFine) {
      names.forEach((name, place) => { // what was changed meanwhile is sent again
        if (JSON.stringify(state.answers[name]) === sent[place]) unsent.delete(name);
      });
    }
  }
  isSending = false;
  if (!isFine && mayTryAgain) timer = setTimeout(flush, RETRY_AFTER);
  else if (!isFine) return;
  else if (isAsked) warn(words().sent);
  else if (byId("warning").textContent) warn("");
  if (state.place >= data.entries.length && data.entries.length) showEnd();
}

Object.assign(keeper, {
  begin,
  hasBegun: () => visitor !== null,
  leave() { remember(null); location.reload(); },
  changed(entry) {
    unsent.add(nameOf(entry));
    clearTimeout(timer);
    timer = setTimeout(flush, 300);
  },
  flush: () => flush(true),
  pending: () => unsent.size,
});

(async () => {
  const known = remembered();
  if (known) state.rater = known.rater;
  if (known) await begin();
  show();
})();
