import { describe, expect, test } from "bun:test";
import { containerState, parseExit, type StateFacts } from "./record.ts";

const stat = "4711 (a b) c) S 1 4711 4711 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 123456 0 0";
const nothing: StateFacts = { child: undefined, exit: undefined, exitAt: undefined, memoryEvents: undefined, isRunning: () => false };

describe("containerState()", () => {
  test("is created before there is a process", () => {
    expect(containerState(nothing)).toEqual({ status: "created" });
  });

  test("is running while that very process runs", () => {
    const isRunning = (process: { pid: number; startTicks: number }): boolean => process.pid === 4711 && process.startTicks === 123_456;
    expect(containerState({ ...nothing, child: stat, isRunning })).toEqual({ status: "running", pid: 4711 });
  });

  test("is exited with an unknown code when the process is gone and nobody saw its end", () => {
    expect(containerState({ ...nothing, child: stat })).toMatchObject({ status: "exited", exitCode: undefined });
  });

  test("tells out of memory by the cgroup's count of kills", () => {
    const ended = { ...nothing, child: stat, exit: "signaled 9\n" };
    expect(containerState({ ...ended, memoryEvents: "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n" })).toMatchObject({
      exitCode: 137,
      outOfMemory: true,
    });
    expect(containerState({ ...ended, memoryEvents: "oom_kill 0\n" })).toMatchObject({ exitCode: 137, outOfMemory: false });
  });
});

test("parseExit() counts signals from 128 and gives up on anything else", () => {
  expect(parseExit("exited 7\n")).toBe(7);
  expect(parseExit("signaled 15")).toBe(143);
  expect(parseExit("exited")).toBeUndefined();
});
