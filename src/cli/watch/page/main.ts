/// <reference lib="dom" />
/** The page of a run: asks every second how far it is, and shows what is new. */
import type { RunState, StageState } from "../run_state.ts";
import { count, lossText, speedText, stageText, statusOf } from "./words.ts";

const ASK_MS = 1000;

function byId<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} with the id ${id}`);
}

const image = byId("grid", HTMLImageElement);
const slider = byId("update", HTMLInputElement);

/** The stage that was chosen; undefined follows the run. */
let chosen: string | undefined;
/** What is on show, so that nothing is fetched twice. */
let plotted = "";
let state: RunState | undefined;

function write(id: string, text: string): void {
  const element = byId(id, HTMLElement);
  if (element.textContent !== text) element.textContent = text;
}

function shownStage({ stages, current }: RunState): StageState {
  return stages.find(({ name }) => name === chosen) ?? stages[current];
}

function showStages({ stages }: RunState, shown: StageState): void {
  const list = byId("stages", HTMLElement);
  list.hidden = stages.length < 2;
  if (list.children.length !== stages.length) {
    list.replaceChildren(...stages.map(({ name }) => {
      const button = document.createElement("button");
      button.type = "button";
      button.addEventListener("click", () => {
        const following = state?.stages[state.current].name;
        chosen = name === following ? undefined : name;
        show().catch(() => {});
      });
      const item = document.createElement("li");
      item.append(button);
      return item;
    }));
  }
  stages.forEach((stage, i) => {
    const { name, done } = stage;
    const button = list.children[i].firstElementChild as HTMLButtonElement;
    const text = stageText(stage);
    if (button.textContent !== text) button.textContent = text;
    button.disabled = done === 0;
    button.setAttribute("aria-pressed", String(name === shown.name));
  });
}

/** The newest grid, or the one that the slider was put to. */
function showGrid({ name, grids }: StageState): void {
  const last = grids.length - 1;
  const follows = Number(slider.value) === Number(slider.max) || name !== slider.dataset.stage;
  slider.dataset.stage = name;
  slider.max = String(Math.max(0, last));
  if (follows) slider.value = slider.max;
  const update = grids[Number(slider.value)];
  image.hidden = byId("back", HTMLElement).hidden = update === undefined;
  byId("no-grid", HTMLElement).hidden = update !== undefined;
  if (update === undefined) return;
  slider.hidden = last < 1;
  const text = `after ${count(update)} updates`;
  write("grid-text", text);
  slider.setAttribute("aria-valuetext", text);
  image.alt = `Sixteen samples ${text}`;
  const address = `samples/${update}.png?stage=${name}`;
  if (image.getAttribute("src") !== address) image.src = address;
}

async function showPlot({ name, done }: StageState): Promise<void> {
  const now = `${name} ${done}`;
  if (now === plotted || done === 0) return;
  const response = await fetch(`loss.svg?stage=${name}`);
  if (!response.ok) return;
  const svg = new DOMParser().parseFromString(await response.text(), "image/svg+xml");
  byId("plot", HTMLElement).replaceChildren(document.importNode(svg.documentElement, true));
  plotted = now;
}

async function show(ended = false): Promise<void> {
  if (!state) return;
  const shown = shownStage(state);
  const status = statusOf(state, ended);
  write("name", state.name);
  write("status", status);
  document.title = `${status} · ${state.name}`;
  const progress = byId("progress", HTMLProgressElement);
  if (state.updates === undefined) progress.removeAttribute("value");
  else progress.value = state.done / state.updates;
  write("loss", lossText(shown));
  write("speed", speedText(shown));
  showStages(state, shown);
  showGrid(shown);
  await showPlot(shown);
}

slider.addEventListener("input", () => {
  if (state) showGrid(shownStage(state));
});

async function follow(): Promise<void> {
  for (;;) {
    try {
      const response = await fetch("state.json");
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const answer: RunState & { ended: boolean } = await response.json();
      state = answer;
      await show(answer.ended);
      if (answer.ended) return;
    } catch {
      write("status", `${state ? statusOf(state, false) : ""} · nobody answers: is the run over?`);
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  }
}

follow();
