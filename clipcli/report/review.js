// Shows the photos in pages, and takes keys and clicks.
const SIZE = 24;
const KEYS = 10;
const find = (id) => document.querySelector(`#${id}`);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const number = (n) => n.toLocaleString("en");
const count = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;
const figure = (score) => (score !== 0 && Math.abs(score) < 1e-3 ? score.toExponential(1) : score.toFixed(3));
const percent = (share) => `${(100 * share).toFixed(1)}`;
const NONE = content.unknown ?? "none of these";
const named = (chosen) => (chosen.length ? chosen.map((label) => labels[label][0]).join(", ") : NONE);
const folder = (() => {
  // The folder that all paths begin with is not shown.
  const sorted = photos.map((photo) => photo.path).sort();
  const [a, b] = [sorted[0], sorted.at(-1)];
  let n = 0;
  while (n < a.length && a[n] === b[n]) n += 1;
  return a.lastIndexOf("/", n - 1) + 1;
})();
const nameOf = (n) => photos[n].path.slice(folder);
const atRandom = new Set(drawn);
const groupOf = new Map(content.alike.flatMap((group, at) => group.map((n) => [n, at])));

let view = "grid";
// The view that the single one goes back to.
let back = "grid";
let current = 0;
// The labels that the current photo will have, where it may have several.
let draft = [];
let tiles = new Map();
let ended = false;

const pageOf = (n) => Math.floor(n / SIZE);
const shown = () => {
  if (view === "alike") return content.alike[groupOf.get(current)] ?? [];
  if (view === "single") return [current, ...(content.alike[groupOf.get(current)] ?? []).filter((n) => n !== current)];
  const start = pageOf(current) * SIZE;
  return photos.slice(start, start + SIZE).map((_, n) => start + n);
};
const open = (numbers) => numbers.filter((n) => !said.has(n));
// The photo to go on with: one of the page that is not reviewed, else of a later page, else of an earlier one.
const following = () => {
  const after = (numbers) => {
    const left = open(numbers);
    return left.find((n) => numbers.indexOf(n) > numbers.indexOf(current)) ?? left[0];
  };
  if (view === "alike") {
    const at = groupOf.get(current) ?? 0;
    return after(shown()) ?? after([...content.alike.slice(at), ...content.alike.slice(0, at)].flat());
  }
  const all = photos.map((_, n) => n);
  if (view === "grid" && open(shown()).length) return after(shown());
  return all.find((n) => n > current && !said.has(n)) ?? all.find((n) => !said.has(n));
};

const source = (n, size) => (content.served ? `${size}/${n}` : photos[n].picture);
const gone = () => make("div", { className: "gone" }, "This photo cannot be read.");
const picture = (n, size) => {
  if (source(n, size) === null) return gone();
  const image = make("img", { src: source(n, size), alt: nameOf(n), draggable: false });
  image.addEventListener("error", () => image.replaceWith(gone()));
  return image;
};
const tile = (n, size) => {
  const element = make("figure", { className: "tile card" }, picture(n, size), make("figcaption"));
  if (atRandom.has(n)) element.append(make("span", { className: "badge", title: "The accuracy is estimated by these photos" }, "at random"));
  element.addEventListener("click", () => go(n));
  element.addEventListener("dblclick", () => turn("single", n));
  return element;
};
const paint = (n, element) => {
  const photo = photos[n];
  const chosen = said.get(n);
  const state = chosen === undefined ? "" : isRight(n, chosen) ? " right" : " wrong";
  element.className = `tile card${state}${n === current ? " current" : ""}`;
  const score = photo.scores.length ? ` ${figure(photo.scores[0][1])}` : "";
  const label =
    chosen === undefined
      ? [named(photo.said), make("small", { className: "score" }, score)]
      : [make("span", { className: "mark" }, `${state === " right" ? "✓" : "✎"} ${named(chosen)}`)];
  if (state === " wrong") label.push(make("small", {}, `was ${named(photo.said)}`));
  element.querySelector("figcaption").replaceChildren(...label, make("small", { title: photo.path }, nameOf(n)));
};

const pageButtons = (text) => {
  const before = make("button", { onclick: () => leaf(-1) }, "← Before");
  const after = make("button", { onclick: () => leaf(1) }, "After →");
  const left = open(shown()).length;
  const all = make("button", { onclick: confirmAll, hidden: left < 2 }, `Confirm these ${number(left)} `, make("kbd", {}, "Shift Enter"));
  return make("div", { className: "pages" }, before, after, make("p", {}, text), all);
};
const showPhotos = () => {
  const numbers = shown();
  const key = `${view} ${numbers}`;
  const section = find("photos");
  if (section.dataset.key !== key) {
    section.dataset.key = key;
    tiles = new Map(numbers.map((n, at) => [n, tile(n, view === "single" && at === 0 ? "large" : "small")]));
    const [first, ...others] = tiles.values();
    const body =
      view !== "single"
        ? [make("div", { className: "tiles" }, ...tiles.values())]
        : [first, ...(others.length ? [make("h2", {}, `Look-alikes with the same label (${number(others.length)})`), make("div", { className: "tiles strip" }, ...others)] : [])];
    const empty = make("p", {}, "No group of look-alikes: the cache has no embeddings of these photos, or no three are alike.");
    section.replaceChildren(make("div"), make("div", { className: view }, ...(numbers.length ? body : [empty])));
  }
  const texts = {
    grid: () => `Photos ${number(numbers[0] + 1)} to ${number(numbers.at(-1) + 1)} of ${number(photos.length)}, the most doubtful first`,
    single: () => `Photo ${number(current + 1)} of ${number(photos.length)}`,
    alike: () => `Group ${number((groupOf.get(current) ?? -1) + 1)} of ${number(content.alike.length)}: photos that look alike and have the same label`,
  };
  section.firstChild.replaceWith(pageButtons(texts[view]()));
  for (const [n, element] of tiles) paint(n, element);
};

const keyButton = (label, at) => {
  const score = photos[current].scores.find(([one]) => one === label);
  const button = make("button", { onclick: (event) => press(label, event.shiftKey) }, make("kbd", {}, String((at + 1) % KEYS)), make("span", {}, labels[label][0]));
  if (score) button.append(make("small", {}, figure(score[1])));
  button.ariaPressed = String((content.several ? draft : (said.get(current) ?? photos[current].said)).includes(label));
  return button;
};
const showAside = () => {
  const photo = photos[current];
  const about = [make("b", {}, named(said.get(current) ?? photo.said))];
  if (photo.within) about.push(make("small", {}, photo.within));
  const drawnText = atRandom.has(current) ? "drawn at random, counts for the accuracy; " : "";
  const stateText = !said.has(current) ? "not reviewed" : isRight(current, said.get(current)) ? "confirmed" : `corrected, was ${named(photo.said)}`;
  about.push(make("small", {}, drawnText + stateText), make("small", {}, nameOf(current)));
  find("about").replaceChildren(...about);
  const none = make("button", { className: "none", onclick: (event) => choose(() => [], event.shiftKey) }, make("kbd", {}, "x"), make("span", {}, content.unknown === null ? "none of these labels" : `${content.unknown}: none of these labels`));
  none.ariaPressed = String((content.several ? draft : (said.get(current) ?? photo.said)).length === 0);
  const confirm = make("button", { className: "main", onclick: (event) => enter(event.shiftKey) }, make("kbd", {}, "Enter"), make("span", {}, content.several ? "these labels" : `confirm ${named(photo.said)}`));
  find("keys").replaceChildren(confirm, ...photo.keys.slice(0, KEYS).map(keyButton), none);
};
const showStatus = () => {
  find("bar").value = stored.size / photos.length;
  const more = content.total > photos.length ? ` (of ${number(content.total)} in all)` : "";
  find("count").textContent = `${number(stored.size)} of ${number(photos.length)} reviewed${more}`;
  const found = accuracy();
  find("accuracy").textContent = found
    ? `Accuracy ${percent(found.share)}% [${percent(found.low)}, ${percent(found.high)}], by ${count(found.count, "photo", "photos")} drawn at random`
    : drawn.length
      ? "Accuracy: once photos marked “at random” are reviewed"
      : "No accuracy: no photo was drawn at random";
  for (const one of ["grid", "single", "alike"]) find(`view-${one}`).ariaPressed = String(view === one);
};
const show = () => {
  if (ended) return;
  showPhotos();
  showAside();
  showStatus();
};
const tell = (text, bad = false) => {
  find("message").textContent = text;
  find("message").classList.toggle("bad", bad);
};

const go = (n) => {
  current = n;
  draft = [...(said.get(n) ?? photos[n].said)];
  show();
  tiles.get(n)?.scrollIntoView({ block: "nearest" });
};
const turn = (to, n = current) => {
  if (view !== "single") back = view;
  view = to;
  const first = content.alike.find((group) => open(group).length) ?? content.alike[0] ?? [];
  go(to === "alike" && !groupOf.has(n) ? (first[0] ?? n) : n);
};
const leaf = (by) => {
  if (view === "single") return go(Math.min(photos.length - 1, Math.max(0, current + by)));
  if (view === "grid") return go(Math.min(photos.length - 1, Math.max(0, (pageOf(current) + by) * SIZE)));
  const group = content.alike[(groupOf.get(current) ?? 0) + by];
  return group && go(group[0]);
};
const move = (by) => {
  const numbers = view === "single" ? photos.map((_, n) => n) : shown();
  const to = numbers.indexOf(current) + by;
  if (to in numbers) go(numbers[to]);
  else if (view === "grid" && current + by in photos) go(current + by);
};
const columns = () => {
  const [first, ...others] = [...tiles.values()].map((element) => element.offsetTop);
  return 1 + others.filter((top) => top === first).length;
};

// Say what the current photo, or each of those shown that are not reviewed, has for labels.
const choose = (chosenFor, all) => {
  const numbers = all ? open(shown()) : [current];
  if (!numbers.length) return;
  const changes = new Map(numbers.map((n) => [n, chosenFor(n)]));
  decide(changes);
  const [chosen] = changes.values();
  const wrong = [...changes].filter(([n, one]) => !isRight(n, one)).length;
  tell(
    numbers.length > 1
      ? `${number(numbers.length)} photos: ${wrong ? named(chosen) : "confirmed"}`
      : `${nameOf(numbers[0])}: ${named(chosen)}${wrong ? `, in place of ${named(photos[numbers[0]].said)}` : ", confirmed"}`,
  );
  const next = following();
  if (next === undefined) tell(`All ${number(photos.length)} photos are reviewed.`);
  go(next ?? current);
};
const press = (label, all) => {
  if (!content.several) return choose(() => [label], all);
  draft = draft.includes(label) ? draft.filter((one) => one !== label) : [...draft, label];
  return show();
};
const confirmAll = () => choose((n) => (content.several && n === current ? draft : photos[n].said), true);
const enter = (all) => {
  if (all) return confirmAll();
  // What was said about a photo before stays, unless it is changed.
  if (said.has(current) && (!content.several || same(draft, said.get(current)))) return go(following() ?? current);
  return choose((n) => (content.several ? draft : photos[n].said), false);
};
const undo = () =>
  takeBack((undone) => {
    if (!undone.length) return tell("There is no step to undo.");
    go(undone[0]);
    return tell(`Undone: ${count(undone.length, "photo", "photos")}, such as ${nameOf(undone[0])}`);
  });
const end = async () => {
  await queue;
  const error = await transport.end().then(() => null, (found) => found);
  if (error) return tell(error.message, true);
  if (!content.served) return tell(`corrections.csv was saved, with ${count(made.size, "decision", "decisions")}.`);
  ended = true;
  const text = `${number(stored.size)} of ${number(photos.length)} photos are reviewed, and saved in ${content.output}. You may close this page.`;
  document.querySelector("main").replaceChildren(make("p", { className: "card ended" }, text));
  for (const button of document.querySelectorAll("nav button")) button.disabled = true;
  return tell("");
};

const pressed = (event) => {
  if (ended || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  if (event.target === find("search")) return typed(event);
  if (event.target.tagName === "BUTTON" && ["Enter", " "].includes(event.key)) return undefined;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
  const label = digit ? photos[current].keys[(Number(digit[1]) + KEYS - 1) % KEYS] : undefined;
  const actions = {
    Enter: () => enter(event.shiftKey),
    x: () => choose(() => [], event.shiftKey),
    u: undo,
    " ": () => turn(view === "single" ? back : "single"),
    "/": () => find("search").focus(),
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    ArrowUp: () => move(-columns()),
    ArrowDown: () => move(columns()),
    PageUp: () => leaf(-1),
    PageDown: () => leaf(1),
  };
  const action = digit ? () => label !== undefined && press(label, event.shiftKey) : actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action) {
    event.preventDefault();
    return action();
  }
  // Any other letter begins a search, and goes into it.
  if (/^\p{L}$/u.test(event.key)) find("search").focus();
  return undefined;
};

document.addEventListener("keydown", pressed);
document.addEventListener("click", (event) => event.detail && event.target.closest?.("button")?.blur());
find("search").addEventListener("input", () => {
  picked = 0;
  showFound();
});
find("undo").addEventListener("click", undo);
find("done").addEventListener("click", end);
for (const one of ["grid", "single", "alike"]) find(`view-${one}`).addEventListener("click", () => turn(one));
find("view-alike").textContent = `Look-alikes (${number(content.alike.length)})`;
find("view-alike").disabled = content.alike.length === 0;
find("help-enter").textContent = content.several ? "the labels that are marked" : "confirm the label";
find("help-digits").textContent = content.several ? "add or drop the label of that number" : "the label of that number";
onChange = (error) => {
  if (error) tell(error.message, true);
  show();
};
go(Math.max(0, photos.findIndex((_, n) => !said.has(n))));
