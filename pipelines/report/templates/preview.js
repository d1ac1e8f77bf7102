"use strict";
// Moves the dividing line of each pair of pictures, and the threshold. Everything else is in the
// page itself, which reads well without this.

for (const pair of document.querySelectorAll(".compare")) {
  const slider = pair.querySelector("input");
  const move = () => pair.style.setProperty("--at", slider.value + "%");
  slider.addEventListener("input", move);
  move();
}

const threshold = document.getElementById("threshold");
if (threshold) {
  const facts = document.getElementById("facts").dataset;
  const scores = JSON.parse(facts.scores);
  const seen = Number(facts.seen);
  const all = Number(facts.all);
  const given = Number(facts.threshold);
  const line = document.getElementById("threshold-line");
  const thinSpace = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");

  const show = () => {
    const at = Number(threshold.value);
    const changed = scores.filter((score) => score >= at).length;
    const share = changed / seen;
    document.getElementById("threshold-value").textContent = at.toFixed(3);
    document.getElementById("would-change").textContent = thinSpace(changed);
    document.getElementById("would-change-share").textContent = (100 * share).toFixed(1) + " %";
    document.getElementById("would-change-all").textContent = thinSpace(Math.round(all * share));
    const isGiven = Math.abs(at - given) < 0.0005;
    const without = facts.command.replace(/ --threshold \S+/, "");
    const command = isGiven ? facts.command : without + " --threshold " + at.toFixed(3);
    document.getElementById("command").textContent = command;
    const x = Number(line.dataset.left) + at * Number(line.dataset.width);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    for (const card of document.querySelectorAll("figure[data-score]")) {
      const isCleaned = Number(card.dataset.score) >= at;
      card.classList.toggle("stays", !isCleaned);
      card.querySelector(".outcome").textContent = isCleaned ? "would be cleaned" : "would be left alone";
    }
  };
  threshold.addEventListener("input", show);
  // A browser may keep the slider where it was before the page was loaded again.
  threshold.value = given;
  show();
}
