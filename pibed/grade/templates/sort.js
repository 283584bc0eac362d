document.querySelectorAll("th button").forEach((button, column) => {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const down = head.getAttribute("aria-sort") !== "descending";
    const body = head.closest("table").tBodies[0];
    const key = (row) => row.cells[column].dataset.key;
    const numeric = !head.classList.contains("word");
    const rows = Array.from(body.rows).sort((a, b) => {
      if (a.className !== b.className) return a.className ? -1 : 1;
      const order = numeric ? key(a) - key(b) : key(a).localeCompare(key(b));
      return down ? -order : order;
    });
    head.parentNode.querySelectorAll("th").forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows);
  });
});
