/** /v1/models: OpenAI's list of models, and one of them. */
import { z } from "npm:zod@4.6.7";
import { guidedText } from "../../diffusion/guided.ts";
import { DEFAULT } from "../../recipe/recipe.ts";
import { chooseScheduler } from "../../recipe/resolve.ts";
import { knowsEveryTimestep } from "../../sampling/distilled.ts";
import { planRun } from "../../sampling/plan.ts";
import { invalid, listed, Problem } from "../problem.ts";
import type { ServedModel } from "../work/served_model.ts";
import { answer, type Json, jsonSchema, type Route } from "./route.ts";
import type { Services } from "./services.ts";

const model = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int(),
  owned_by: z.string(),
  denoise: z.looseObject({}).describe("what the page and clients can ask of it"),
});

export function modelRoutes(services: Services): Route[] {
  const { engines, access } = services;
  const described = new Map<string, Json>();
  const describe = (name: string): Json => {
    const known = described.get(name);
    if (known) return known;
    const card = describeModel(services, name, engines.get(name)!.model);
    described.set(name, card);
    return card;
  };
  const headers = { "cache-control": "no-cache" };
  const security = access.security("description");
  return [{
    method: "get",
    path: "/v1/models",
    async handle(c) {
      await access.description(c.req.raw);
      return c.json({ object: "list", data: [...engines.keys()].map(describe) }, 200, headers);
    },
    operation: () => ({
      operationId: "listModels",
      summary: "Loaded weights and schedulers",
      security,
      responses: {
        "200": answer(
          "the list",
          "application/json",
          jsonSchema(z.object({ object: z.literal("list"), data: z.array(model) })),
        ),
      },
      problems: [401],
    }),
  }, {
    method: "get",
    path: "/v1/models/:model",
    async handle(c) {
      await access.description(c.req.raw);
      const name = c.req.param("model")!;
      if (engines.has(name)) return c.json(describe(name), 200, headers);
      const loaded = listed([...engines.keys()]);
      const { message, errors } = invalid("model", `one of the loaded weights (${loaded})`, name);
      throw new Problem(404, "not_found", message, { errors });
    },
    operation: () => ({
      path: "/v1/models/{model}",
      operationId: "retrieveModel",
      summary: "One of them",
      parameters: [{ name: "model", in: "path", required: true, schema: { type: "string" } }],
      security,
      responses: { "200": answer("the model", "application/json", jsonSchema(model)) },
      problems: [401, 404],
    }),
  }];
}

function describeModel(services: Services, name: string, model: ServedModel): Json {
  const { schedulers } = services.catalog;
  const { name: scheduler } = chooseScheduler(model, schedulers);
  const offered = Object.fromEntries(
    Object.entries(schedulers).map(([name, { description, options = {} }]) => [
      name,
      { description, options, max_steps: mostSteps(services, model, name) },
    ]),
  );
  return {
    id: name,
    object: "model",
    created: 0,
    owned_by: "denoise",
    denoise: {
      weights: `${name}@${model.hash.slice(0, 16)}`,
      backend: model.backend,
      shape: model.shape,
      labels: model.labels ?? [],
      guidance: model.nullLabel !== undefined && !model.distilled,
      restores: knowsEveryTimestep(model),
      recommended: {
        scheduler,
        steps: model.recommended?.steps ?? DEFAULT.steps,
        guidance: model.recommended?.guidance ?? 1,
        guided: model.recommended?.guided && guidedText(model.recommended.guided),
      },
      schedule: {
        beta_schedule: model.scheduler.beta_schedule,
        beta_start: model.scheduler.beta_start,
        beta_end: model.scheduler.beta_end,
        num_train_timesteps: model.scheduler.num_train_timesteps,
      },
      max_steps: offered[scheduler].max_steps,
      schedulers: offered,
    },
  };
}

/** The most steps that a sampler takes here: some need a timestep more than they make steps. */
function mostSteps({ catalog, limits }: Services, model: ServedModel, name: string): number {
  const { scheduler: config } = model;
  const scheduler = catalog.schedulers[name];
  const runs = (steps: number) => {
    try {
      planRun(config, { scheduler, steps });
      return true;
    } catch {
      return false;
    }
  };
  const most = Math.min(limits.maxSteps, limits.maxCost, config.num_train_timesteps);
  // A sampler that cannot run so under any number is refused with its reason when it is asked for.
  for (let steps = most; steps > Math.max(0, most - 4); steps--) if (runs(steps)) return steps;
  return most;
}
