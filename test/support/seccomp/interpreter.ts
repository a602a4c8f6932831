/** Runs a filter as the kernel's interpreter does, and counts the instructions. @see kernel/seccomp.c, net/core/filter.c */

/** What the filter sees of a system call: struct seccomp_data. */
export interface SystemCall {
  readonly auditNumber: number;
  readonly number: number;
  readonly args: readonly bigint[];
}

/** The filter's answer and how many instructions it took. @throws Error for what the kernel would refuse */
export function runFilter(program: Uint8Array, { auditNumber, number, args }: SystemCall): { answer: number; steps: number } {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(number, 0);
  data.writeUInt32LE(auditNumber, 4);
  for (const [index, value] of args.entries()) data.writeBigUInt64LE(value, 16 + index * 8);
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  let at = 0;
  for (let steps = 1; ; steps++) {
    if (at * 8 >= program.length) throw new Error(`instruction ${at} is behind the end`);
    const [code, met, unmet, k] = [
      view.getUint16(at * 8, true),
      view.getUint8(at * 8 + 2),
      view.getUint8(at * 8 + 3),
      view.getUint32(at * 8 + 4, true),
    ];
    const branch = (condition: boolean): void => {
      at += condition ? met : unmet;
    };
    at++;
    if (code === 0x06) return { answer: k, steps };
    else if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x05) at += k;
    else if (code === 0x15) branch(accumulator === k);
    else if (code === 0x25) branch(accumulator > k);
    else if (code === 0x35) branch(accumulator >= k);
    else if (code === 0x45) branch((accumulator & k) !== 0);
    else throw new Error(`instruction ${at - 1} has the unknown code ${code}`);
  }
}
