// Reads out what the pointer is at; without it the page lacks nothing else.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

function readOut(area) {
  const at = area.dataset.at.split(" ").map(Number);
  const names = area.dataset.names.split("|");
  const lines = [...area.querySelectorAll("path[data-read]")].map((path) => ({
    name: path.dataset.name,
    values: path.dataset.read.split("|").map((value) => value.replace(" ", "\u00a0")), // a unit stays with its number
  }));

  // A title of the drawing would pop up over what is read.
  const title = area.querySelector("title");
  area.removeAttribute("aria-labelledby");
  area.setAttribute("aria-label", title.textContent);
  area.setAttribute("aria-describedby", area.querySelector("desc").id);
  title.remove();

  const cursor = document.createElementNS(SVG, "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y2", "100%");
  cursor.setAttribute("visibility", "hidden");
  area.append(cursor);

  // A drawing hears the pointer only where something is drawn.
  const ground = document.createElementNS(SVG, "rect");
  ground.setAttribute("width", "100%");
  ground.setAttribute("height", "100%");
  ground.setAttribute("fill", "transparent");
  area.append(ground);

  const text = document.createElement("p");
  text.className = "read";
  text.textContent = "\u00a0";
  const slider = document.createElement("input");
  slider.type = "range";
  slider.max = at.length - 1;
  slider.value = 0;
  slider.setAttribute("aria-label", `${title.textContent}: values`);
  area.after(text, slider);

  function show(place) {
    const values = lines.filter((line) => line.values[place]).map((line) => `${line.name} ${line.values[place]}`);
    text.textContent = `${names[place]}: ${values.join(", ") || "nothing"}`;
    slider.value = place;
    slider.setAttribute("aria-valuetext", text.textContent);
    cursor.setAttribute("x1", `${at[place] / 10}%`);
    cursor.setAttribute("x2", `${at[place] / 10}%`);
    cursor.setAttribute("visibility", "visible");
  }

  function hide() {
    text.textContent = "\u00a0";
    cursor.setAttribute("visibility", "hidden");
  }

  function nearest(event) {
    const box = ground.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 1000;
    let best = 0;
    at.forEach((place, index) => {
      if (Math.abs(place - x) < Math.abs(at[best] - x)) best = index;
    });
    return best;
  }

  area.addEventListener("pointermove", (event) => show(nearest(event)));
  area.addEventListener("pointerdown", (event) => show(nearest(event)));
  area.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") hide(); // what a finger has asked for stays
  });
  slider.addEventListener("input", () => show(Number(slider.value)));
  slider.addEventListener("focus", () => show(Number(slider.value)));
  slider.addEventListener("blur", hide);
}

for (const area of document.querySelectorAll("svg.area")) readOut(area);
