/**
 * Method calls as D-Bus puts them on the wire, little endian.
 * @see D-Bus Specification, "Marshaling (Wire Format)" and "Message Format"
 */

/** A value with the type that it has on the wire. `pid` is a list of the child's pid alone, which the executor fills in. */
export type DbusValue =
  | { readonly type: "s" | "o"; readonly value: string }
  | { readonly type: "b"; readonly value: boolean }
  | { readonly type: "u"; readonly value: number }
  | { readonly type: "t"; readonly value: bigint }
  | { readonly type: "ay"; readonly value: Uint8Array }
  | { readonly type: "as"; readonly value: readonly string[] }
  | { readonly type: "a(ss)"; readonly value: readonly (readonly [string, string])[] }
  | { readonly type: "pid" };

/** A name with a value, as systemd's methods take properties: a(sv). */
export interface DbusProperty {
  readonly name: string;
  readonly value: DbusValue;
}

/** An argument of a call. `properties` is a(sv), `units` an empty a(sa(sv)). */
export type DbusArgument =
  | DbusValue
  | { readonly type: "properties"; readonly value: readonly DbusProperty[] }
  | { readonly type: "units" };

/** A method call before it is marshalled. */
export interface DbusCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  /** From 1; the reply names it. */
  readonly serial: number;
  readonly body: readonly DbusArgument[];
}

/** A message, and where in it the child's pid is to be put; 0 for nowhere. */
export interface DbusMessage {
  readonly bytes: Uint8Array;
  readonly pidAt: number;
}

const signatures: Readonly<Record<DbusArgument["type"], string>> = {
  s: "s",
  o: "o",
  b: "b",
  u: "u",
  t: "t",
  ay: "ay",
  as: "as",
  "a(ss)": "a(ss)",
  pid: "au",
  properties: "a(sv)",
  units: "a(sa(sv))",
};

/** Codes of header fields. */
const field = { path: 1, interface: 2, member: 3, destination: 6, signature: 8 } as const;
const methodCall = 1;
const protocolVersion = 1;

/** The bytes of a call. */
export function marshalCall(call: DbusCall): DbusMessage {
  const body = new Marshal();
  for (const argument of call.body) body.argument(argument);
  const message = new Marshal();
  message.byte("l".charCodeAt(0)).byte(methodCall).byte(0).byte(protocolVersion);
  message.uint32(body.size).uint32(call.serial);
  message.array(8, () => {
    message.headerField(field.path, "o", call.path);
    message.headerField(field.interface, "s", call.interface);
    message.headerField(field.member, "s", call.member);
    message.headerField(field.destination, "s", call.destination);
    if (call.body.length > 0) message.headerField(field.signature, "g", call.body.map(({ type }) => signatures[type]).join(""));
  });
  message.align(8);
  // The body starts at a multiple of 8, so what is aligned in it stays so behind the header.
  const start = message.size;
  return { bytes: Uint8Array.from([...message.bytes, ...body.bytes]), pidAt: body.pidAt === undefined ? 0 : start + body.pidAt };
}

/** Bytes that grow, each value at a multiple of its size. */
class Marshal {
  readonly bytes: number[] = [];
  /** Where the child's pid goes. */
  pidAt: number | undefined;

  get size(): number {
    return this.bytes.length;
  }

  align(to: number): this {
    while (this.bytes.length % to !== 0) this.bytes.push(0);
    return this;
  }

  byte(value: number): this {
    this.bytes.push(value);
    return this;
  }

  uint32(value: number): this {
    this.align(4);
    for (let shift = 0; shift < 32; shift += 8) this.bytes.push((value >>> shift) & 0xff);
    return this;
  }

  uint64(value: bigint): this {
    this.align(8);
    return this.uint32(Number(value & 0xffffffffn)).uint32(Number(value >> 32n));
  }

  text(value: string): this {
    const bytes = Buffer.from(value);
    this.uint32(bytes.length);
    this.bytes.push(...bytes, 0);
    return this;
  }

  signature(value: string): this {
    this.bytes.push(value.length, ...Buffer.from(value), 0);
    return this;
  }

  /** An array whose elements start at multiples of `alignment`; the padding before the first is not counted in its length. */
  array(alignment: number, write: () => void): this {
    this.uint32(0);
    const lengthAt = this.size - 4;
    this.align(alignment);
    const start = this.size;
    write();
    const length = this.size - start;
    for (let index = 0; index < 4; index++) this.bytes[lengthAt + index] = (length >>> (8 * index)) & 0xff;
    return this;
  }

  headerField(code: number, type: "o" | "s" | "g", value: string): void {
    this.align(8).byte(code).signature(type);
    if (type === "g") this.signature(value);
    else this.text(value);
  }

  argument(argument: DbusArgument): void {
    if (argument.type === "units") this.array(8, () => undefined);
    else if (argument.type === "properties") {
      this.array(8, () => {
        for (const { name, value } of argument.value) {
          this.align(8).text(name).signature(signatures[value.type]);
          this.value(value);
        }
      });
    } else this.value(argument);
  }

  private value(value: DbusValue): void {
    switch (value.type) {
      case "s":
      case "o":
        this.text(value.value);
        break;
      case "b":
        this.uint32(value.value ? 1 : 0);
        break;
      case "u":
        this.uint32(value.value);
        break;
      case "t":
        this.uint64(value.value);
        break;
      case "ay":
        this.array(1, () => this.bytes.push(...value.value));
        break;
      case "as":
        this.array(4, () => {
          for (const one of value.value) this.text(one);
        });
        break;
      case "a(ss)":
        this.array(8, () => {
          for (const [first, second] of value.value) this.align(8).text(first).text(second);
        });
        break;
      case "pid":
        this.array(4, () => {
          this.pidAt = this.size;
          this.uint32(0);
        });
        break;
    }
  }
}
