import { expect, test } from "bun:test";
import { marshalCall } from "./dbus.ts";

test("marshalCall() makes the bytes that another implementation of D-Bus makes", () => {
  const { bytes, pidAt } = marshalCall({
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    member: "StartTransientUnit",
    serial: 7,
    body: [
      { type: "s", value: "a.scope" },
      { type: "s", value: "replace" },
      {
        type: "properties",
        value: [
          { name: "Delegate", value: { type: "b", value: true } },
          { name: "PIDs", value: { type: "pid" } },
          { name: "MemoryMax", value: { type: "t", value: 2n ** 64n - 1n } },
          { name: "AllowedCPUs", value: { type: "ay", value: Uint8Array.of(5) } },
          { name: "Wants", value: { type: "as", value: ["x.slice", "yy.slice"] } },
          {
            name: "DeviceAllow",
            value: {
              type: "a(ss)",
              value: [
                ["/dev/char/1:3", "rw"],
                ["char-*", "m"],
              ],
            },
          },
          { name: "DeviceAllow", value: { type: "a(ss)", value: [] } },
          { name: "N", value: { type: "u", value: 0xfffffffe } },
        ],
      },
      { type: "units" },
    ],
  });
  expect(Buffer.from(bytes).toString("hex")).toBe(captured);
  expect(new DataView(bytes.buffer).getUint32(pidAt - 4, true)).toBe(4);
});

/** Made by jeepney 0.8 from the same values. */
const captured =
  "6c0100015001000007000000b600000001016f00190000002f6f72672f667265656465736b746f702f73797374656d64310000000000000002017300200000006f72672e667265656465736b746f702e73797374656d64312e4d616e616765720000000000000000030173001200000053746172745472616e7369656e74556e697400000000000006017300180000006f72672e667265656465736b746f702e73797374656d6431000000000000000008016700107373612873762961287361287376292900000007000000612e73636f706500070000007265706c6163650028010000000000000800000044656c6567617465000162000100000000000000040000005049447300026175000000000400000000000000090000004d656d6f72794d61780001740000000000000000ffffffffffffffff0b000000416c6c6f7765644350557300026179000100000005000000000000000500000057616e7473000261730000001900000007000000782e736c696365000800000079792e736c696365000000000b000000446576696365416c6c6f7700056128737329000032000000000000000d0000002f6465762f636861722f313a3300000002000000727700000000000006000000636861722d2a0000010000006d000000000000000b000000446576696365416c6c6f770005612873732900000000000000000000010000004e00017500000000feffffff0000000000000000";
