/** Counts, times and logs every request, and answers its failures. */
import type { Context, MiddlewareHandler } from "npm:hono@4.13.19";
import { routePath } from "npm:hono@4.13.19/route";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { asProblem, type Reason } from "../problem.ts";

export function observe({ metrics, log }: { metrics: Metrics; log: Log }): MiddlewareHandler {
  return async (c, next) => {
    const start = performance.now();
    await next();
    const seconds = (performance.now() - start) / 1000;
    const { method } = c.req;
    const { status } = c.res;
    const route = routePath(c, -1);
    const known = /^(GET|HEAD|POST|OPTIONS)$/.test(method) ? method : "other";
    const reason = c.get("reason") as Reason | undefined;
    if (reason) metrics.failures.inc({ reason });
    metrics.requests.inc({ method: known, route, status: String(status) });
    metrics.requestSeconds.observe({ route }, seconds);
    log({
      level: status >= 500 ? "warn" : "info",
      message: "request",
      requestId: c.get("requestId"),
      method,
      path: c.req.path.slice(0, 500),
      status,
      ...(reason ? { reason } : {}),
      milliseconds: Math.round(seconds * 1000),
    });
  };
}

/** Turns what a handler threw into its answer; what was not foreseen goes to the log in full. */
export function failure(log: Log): (error: unknown, c: Context) => Response {
  return (error, c) => {
    const problem = asProblem(error);
    c.set("reason", problem.reason);
    const requestId = c.get("requestId") as string | undefined;
    if (problem.status >= 500 && problem.cause !== undefined) {
      const { cause, reason } = problem;
      const shown = cause instanceof Error ? cause.stack ?? cause.message : String(cause);
      log({ level: "error", message: problem.message, reason, requestId, error: shown });
    }
    return problem.response(requestId);
  };
}
