"use strict";
// What was said about photos, and where it goes: to the server, or into a file to download.
const content = JSON.parse(document.querySelector("#content").textContent);
const { photos, labels, drawn } = content;
// What the page shows, and what is known to be on disk; after an error the page shows what is on disk.
const stored = new Map(Object.entries(content.said).map(([n, chosen]) => [Number(n), chosen]));
const said = new Map(stored);
const same = (a, b) => a.length === b.length && a.every((one) => b.includes(one));
const isRight = (n, chosen) => same(chosen, photos[n].said);

const post = async (step, body) => {
  const headers = { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(step, { method: "POST", headers, body: JSON.stringify(body) });
  } catch {
    throw new Error(
      `The server has stopped. What was reviewed so far is in ${content.output}; start clipcli review again to go on.`,
    );
  }
  const found = await answer.json().catch(() => ({ error: `The server refused it (${answer.status}); reload the page.` }));
  if (!answer.ok) throw new Error(found.error);
  return found;
};
const server = {
  decide: (changes) => post("decide", Object.fromEntries(changes)),
  undo: async () => new Map(Object.entries((await post("undo", {})).back).map(([n, chosen]) => [Number(n), chosen])),
  end: () => post("done", {}),
};

// Without a server decisions are kept by the browser, where it does so for files, until they are downloaded.
const place = `clipcli review ${location.pathname} ${content.predictions}`;
const made = new Map();
const steps = [];
let downloaded = 0;
const keep = () => {
  const rows = [...made].map(([n, one]) => [photos[n].path, one]);
  const taken = steps.map((step) => [...step].map(([n, [one, chosen]]) => [photos[n].path, one ?? null, chosen ?? null]));
  try {
    localStorage.setItem(place, JSON.stringify({ rows, taken }));
  } catch {
    // The browser keeps nothing for this page: a question before it is closed must do.
  }
};
const recall = () => {
  const number = new Map(photos.map((photo, n) => [photo.path, n]));
  try {
    const { rows, taken } = JSON.parse(localStorage.getItem(place));
    for (const [path, one] of rows) {
      if (!number.has(path) || !one.chosen.every((label) => label < labels.length)) continue;
      made.set(number.get(path), one);
      stored.set(number.get(path), one.chosen);
      said.set(number.get(path), one.chosen);
    }
    for (const step of taken) {
      const known = step.filter(([path]) => number.has(path));
      steps.push(new Map(known.map(([path, one, chosen]) => [number.get(path), [one ?? undefined, chosen ?? undefined]])));
    }
    downloaded = steps.length;
  } catch {
    // There is nothing to go on with.
  }
};
const file = {
  decide: async (changes) => {
    steps.push(new Map([...changes.keys()].map((n) => [n, [made.get(n), stored.get(n)]])));
    const time = new Date().toISOString().replace("Z", "+00:00");
    for (const [n, chosen] of changes) made.set(n, { chosen, time });
    keep();
  },
  undo: async () => {
    const before = steps.pop() ?? new Map();
    for (const [n, [one]] of before) {
      if (one) made.set(n, one);
      else made.delete(n);
    }
    keep();
    return new Map([...before].map(([n, [, chosen]]) => [n, chosen ?? null]));
  },
  end: async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytesOf(table())], { type: "text/csv" }));
    link.download = "corrections.csv";
    link.click();
    downloaded = steps.length;
  },
};
const transport = content.served ? server : file;
if (!content.served) recall();

// The rows of corrections.csv, as clipcli writes them.
const quoted = (cell, mark) => (new RegExp(`["\r\n${mark}]`).test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
const table = () => {
  const columns = content.several ? ["path", "label", "labels", "reviewed_at"] : ["path", "label", "reviewed_at"];
  const rows = [...made].map(([n, { chosen, time }]) => {
    const names = chosen.map((label) => labels[label][0]);
    const joined = content.several ? [names.map((name) => quoted(name, ";")).join(";")] : [];
    return [photos[n].path, names[0] ?? "", ...joined, time];
  });
  return [columns, ...rows].map((row) => `${row.map((cell) => quoted(cell, ",")).join(",")}\n`).join("");
};
// A byte of a file's name that is not UTF-8 is a lone surrogate here, and becomes that byte again.
const bytesOf = (text) => {
  const encoder = new TextEncoder();
  const parts = text.split(/((?<![\ud800-\udbff])[\udc80-\udcff])/);
  return new Blob(parts.map((part, n) => (n % 2 ? new Uint8Array([part.charCodeAt(0) & 0xff]) : encoder.encode(part))));
};

// Steps are taken one after the other; `onChange` hears of each, with the error of one that failed.
let queue = Promise.resolve();
let waiting = 0;
let onChange = () => {};
const enqueue = (step) => {
  waiting += 1;
  queue = queue
    .then(step)
    .then(() => null)
    .catch((error) => {
      said.clear();
      for (const [n, chosen] of stored) said.set(n, chosen);
      return error;
    })
    .then((error) => {
      waiting -= 1;
      onChange(error);
    });
  return queue;
};
const decide = (changes) => {
  for (const [n, chosen] of changes) said.set(n, chosen);
  return enqueue(async () => {
    await transport.decide(changes);
    for (const [n, chosen] of changes) stored.set(n, chosen);
  });
};
const takeBack = (then) =>
  enqueue(async () => {
    const back = await transport.undo();
    for (const map of [stored, said]) {
      for (const [n, chosen] of back) {
        if (chosen === null) map.delete(n);
        else map.set(n, chosen);
      }
    }
    then([...back.keys()]);
  });
addEventListener("beforeunload", (event) => {
  if (waiting || (!content.served && steps.length > downloaded)) event.preventDefault();
});

// The accuracy by the photos drawn at random, as far as they were reviewed in turn, with the interval of Wilson (1927).
const accuracy = () => {
  const first = drawn.findIndex((n) => !stored.has(n));
  const seen = drawn.slice(0, first < 0 ? drawn.length : first);
  if (!seen.length) return null;
  const right = seen.filter((n) => isRight(n, stored.get(n))).length;
  const z = 1.959964;
  const share = right / seen.length;
  const size = seen.length + z * z;
  const middle = (right + (z * z) / 2) / size;
  const half = (z / size) * Math.sqrt(seen.length * share * (1 - share) + (z * z) / 4);
  return { share, count: seen.length, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
};
