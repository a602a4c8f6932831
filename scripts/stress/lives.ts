/** The lives of containers: quiet ones, and ones in which the runtime is killed at any moment. Both must end without a trace. */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { traits, writeBundle, type Trait } from "./bundles.ts";
import { call, describeCall, type Called, type Subject } from "./calls.ts";
import { cgroupTops, processesOf, survivorsOf, type Mark } from "./machine.ts";

/** What lives are made of. */
export interface Stage {
  readonly subject: Subject;
  readonly mark: Mark;
  readonly rootfs: string;
}

/** A life that went wrong: what was asked for, and what was found. */
export interface Failure {
  readonly id: string;
  readonly why: string;
  /** The calls of that life, one line each. */
  readonly calls: readonly string[];
}

/** How many lives there were, and how many calls were killed in them. */
export interface Outcome {
  readonly lives: number;
  readonly kills: number;
  readonly failures: readonly Failure[];
}

/** One container, and what was done to it so far. */
class Life {
  readonly id: string;
  readonly bundle: string;
  readonly calls: Called[] = [];
  readonly #stage: Stage;

  constructor(stage: Stage, number: number, trait: Trait) {
    this.#stage = stage;
    this.id = `${stage.mark.token}-${number}`;
    this.bundle = join(stage.mark.directory, `bundle-${number}`);
    writeBundle({ bundle: this.bundle, rootfs: stage.rootfs, id: this.id, token: stage.mark.token, trait });
  }

  async call(words: readonly string[], chance?: () => number): Promise<Called> {
    const called = await call(this.#stage.subject, words, chance);
    this.calls.push(called);
    return called;
  }

  /** The first call that failed although nothing was killed before it. */
  get undisturbedFailure(): Called | undefined {
    const kill = this.calls.findIndex(({ killedAfterMs }) => killedAfterMs !== undefined);
    // `delete` is right to refuse a container that is still dying.
    return this.calls.slice(0, kill === -1 ? undefined : kill).find(({ code, words }) => code !== 0 && words[0] !== "delete");
  }

  /** Removes the container by force and looks whether anything is left of it. Returns what is. */
  async end(): Promise<string[]> {
    const { code } = await this.call(["delete", "--force", this.id]);
    const faults = code === 0 ? [] : ["delete --force failed"];
    const left = [join(this.#stage.subject.stateRoot, this.id), ...cgroupTops().map((top) => join(top, this.#stage.mark.token, this.id))];
    const there = left.filter((path) => existsSync(path));
    if (there.length > 0) faults.push(`delete --force left ${there.join(", ")}`);
    rmSync(this.bundle, { recursive: true, force: true });
    return faults;
  }

  failure(why: string): Failure {
    return { id: this.id, why, calls: this.calls.map(describeCall) };
  }
}

/** Quiet lives, one after the other. Every call must succeed. */
export async function runCycles(stage: Stage, count: number, note: (done: number) => void): Promise<Outcome> {
  const failures: Failure[] = [];
  for (let number = 0; number < count; number++) {
    const life = new Life(stage, number, traits[number % traits.length] ?? "plain");
    const { id } = life;
    for (const words of [
      ["create", "--bundle", life.bundle, id],
      ["start", id],
      ["kill", id, "KILL"],
    ]) {
      const { code } = await life.call(words);
      if (code !== 0) failures.push(life.failure(`${words[0]} failed`));
    }
    await deleteWhenEnded(life);
    const last = life.calls.at(-1);
    if (last?.code !== 0) failures.push(life.failure("delete failed"));
    for (const fault of await life.end()) failures.push(life.failure(fault));
    if ((number + 1) % 100 === 0) note(number + 1);
  }
  return { lives: count, kills: 0, failures };
}

/** A killed process may take a moment, and until then `delete` is right to refuse. */
async function deleteWhenEnded(life: Life): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end;) {
    const { code } = await life.call(["delete", life.id]);
    if (code === 0) return;
    life.calls.pop();
    await Bun.sleep(10);
  }
  await life.call(["delete", life.id]);
}

/** Lives in parallel until the time is over, with kills. */
export async function runParallel(
  stage: Stage,
  how: { readonly workers: number; readonly seconds: number; readonly chance: () => number; readonly first: number },
): Promise<Outcome> {
  const end = performance.now() + how.seconds * 1000;
  const failures: Failure[] = [];
  const remembered: Life[] = [];
  let [lives, kills] = [0, 0];
  const work = async (): Promise<void> => {
    while (performance.now() < end) {
      const life = new Life(stage, how.first + lives++, traits[Math.floor(how.chance() * traits.length)] ?? "plain");
      remembered.push(life);
      await liveDangerously(life, how.chance);
      const wishes = await life.end();
      for (const fault of wishes) failures.push(life.failure(fault));
      const refused = life.undisturbedFailure;
      if (refused !== undefined) failures.push(life.failure(`${refused.words[0]} failed`));
      for (const late of life.calls.filter(({ code }) => code === 128 + 6)) failures.push(life.failure(`${late.words[0]} hung`));
      kills += life.calls.filter(({ killedAfterMs }) => killedAfterMs !== undefined).length;
    }
  };
  await Promise.all(Array.from({ length: how.workers }, work));
  return { lives, kills, failures: [...failures, ...(await findSurvivors(stage, remembered))] };
}

/** Waits until no process of ours is there, for at most ten seconds. */
export async function waitForEnd(mark: Mark): Promise<void> {
  const end = performance.now() + 10_000;
  while (processesOf(mark).length > 0 && performance.now() < end) await Bun.sleep(50);
}

/** Processes of containers that were deleted, with the calls of their lives. What dies by itself within ten seconds is none. */
async function findSurvivors({ mark }: Stage, lives: readonly Life[]): Promise<Failure[]> {
  await waitForEnd(mark);
  return survivorsOf(mark).flatMap(({ id, what }) => {
    const life = lives.find((one) => one.id === id);
    return life === undefined ? [] : [life.failure(`a process is left: ${what}`)];
  });
}

/** A third of the calls are killed; after a kill, half of the lives are over. */
async function liveDangerously(life: Life, chance: () => number): Promise<void> {
  const { id } = life;
  const isLate = chance() < 0.5;
  for (const words of planLife(life, chance)) {
    const { killedAfterMs } = await life.call(words, chance() < 0.35 ? chance : undefined);
    if (killedAfterMs !== undefined && !isLate) break;
  }
  // The removal itself is killed, too.
  if (chance() < 0.3) await life.call(["delete", "--force", id], chance);
}

function planLife({ id, bundle }: Life, chance: () => number): string[][] {
  const exec = ["exec", id, "/bin/busybox", "true"];
  const sometimes = (...calls: string[][]): string[][] => calls.filter(() => chance() < 0.4);
  const made =
    chance() < 0.35
      ? [["run", "--detach", "--bundle", bundle, id]]
      : [["create", "--bundle", bundle, id], ...sometimes(["state", id], exec), ["start", id]];
  // What is paused may stay so until it is deleted.
  const paused = sometimes(["pause", id]).flatMap((pause) => [pause, ...sometimes(["state", id]), ...sometimes(["resume", id])]);
  return [
    ...made,
    ...sometimes(exec, ["exec", "--detach", id, "/bin/busybox", "sleep", "1000"]),
    ...paused,
    ...sometimes(["kill", id, "KILL"]),
    ...sometimes(["delete", id]),
  ];
}
