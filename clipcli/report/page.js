"use strict";
// Tables are sorted by a click on a column's name: numbers as numbers, the largest first.
const number = (text) => Number.parseFloat(text.replaceAll(",", "").replace("\u2212", "-"));
for (const table of document.querySelectorAll("table[data-sortable]")) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const text = (row) => row.cells[column].textContent.trim();
      const byText = head.classList.contains("text");
      const ascending = head.ariaSort ? head.ariaSort === "descending" : byText;
      const compare = (a, b) => (byText ? text(a).localeCompare(text(b)) : number(text(a)) - number(text(b)));
      const isEmpty = (row) => (byText ? text(row) === "" : Number.isNaN(number(text(row))));
      const rows = [...table.tBodies[0].rows];
      const filled = rows.filter((row) => !isEmpty(row)).sort((a, b) => (ascending ? 1 : -1) * compare(a, b));
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      head.ariaSort = ascending ? "ascending" : "descending";
      table.tBodies[0].append(...filled, ...rows.filter(isEmpty));
    });
  }
}
// A gallery is filtered by label, score and path.
for (const filters of document.querySelectorAll(".filters")) {
  const groups = [...filters.parentElement.querySelectorAll("[data-group]")];
  const figures = groups.map((group) => [...group.querySelectorAll("figure")]);
  const label = filters.querySelector("select");
  const [from, to] = [filters.querySelector("[data-from]"), filters.querySelector("[data-to]")];
  const path = filters.querySelector("[type=search]");
  const show = () => {
    const wanted = path.value.toLowerCase();
    const [low, high] = [from, to].map((input) => input.valueAsNumber);
    let count = 0;
    for (const [n, group] of groups.entries()) {
      let shown = 0;
      const ofLabel = label.value === "" || label.value === group.dataset.group;
      for (const figure of ofLabel ? figures[n] : []) {
        // Without a score, a bound leaves it out.
        const score = Number.parseFloat(figure.dataset.score);
        figure.hidden = !(
          (Number.isNaN(low) || score >= low) &&
          (Number.isNaN(high) || score <= high) &&
          (wanted === "" || figure.textContent.toLowerCase().includes(wanted))
        );
        shown += figure.hidden ? 0 : 1;
      }
      group.hidden = shown === 0;
      count += shown;
    }
    filters.querySelector("output").value = `${count.toLocaleString("en")} shown`;
  };
  filters.addEventListener("input", show);
  filters.hidden = false;
  show();
}
