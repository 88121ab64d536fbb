// Search of a label: what is typed, what is found, and the one to take.
// Labels whose name or group has what was typed: those that begin with it first.
let picked = 0;
const search = () => {
  const typed = find("search").value.trim().toLowerCase();
  const rank = ([label, groups]) => {
    const names = [label, ...groups].map((name) => name.toLowerCase());
    return names[0].startsWith(typed) ? 0 : names[0].includes(typed) ? 1 : names.some((name) => name.includes(typed)) ? 2 : 3;
  };
  const ranked = labels.map((one, label) => [rank(one), label]).filter(([at]) => at < 3);
  return typed === "" ? [] : ranked.sort(([a], [b]) => a - b).slice(0, KEYS).map(([, label]) => label);
};
const showFound = () => {
  const found = search();
  picked = Math.max(0, Math.min(picked, found.length - 1));
  const buttons = found.map((label, at) => {
    const button = make("button", { role: "option", onclick: (event) => take(label, event.shiftKey) }, make("span", {}, labels[label][0]));
    button.append(make("small", {}, labels[label][1].join(" / ")));
    button.ariaSelected = String(at === picked);
    return button;
  });
  const typed = find("search").value.trim();
  find("found").replaceChildren(...(typed && !found.length ? [make("p", {}, `No label has “${typed}”.`)] : buttons));
};
const leave = () => {
  find("search").value = "";
  find("search").blur();
  showFound();
};
const take = (label, all) => {
  leave();
  press(label, all);
};
const typed = (event) => {
  const steps = { ArrowDown: 1, ArrowUp: -1 };
  if (event.key in steps) picked += steps[event.key];
  else if (event.key === "Escape") return leave();
  else if (event.key === "Enter") {
    const label = search()[picked];
    return label === undefined ? leave() : take(label, event.shiftKey);
  } else return undefined;
  event.preventDefault();
  return showFound();
};
