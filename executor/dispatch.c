/* From op number to function, made from the op table so that none can be missing. */
#include "executor.h"

/* Runs one op that decode_op() has decoded. */
int run_op(uint16_t code, const union any_op *op)
{
	/* SECURITY: tree ops take any path because they are chrooted; outside of `enter-root` they would not be. */
	if (code > OP_LEAVE_ROOT && code < OP_END && self.outer_root < 0)
		return -EPERM;
	switch (code) {
#define RUN(number, name) \
	case number:      \
		return op_##name(&op->name##_);
		GANTRY_OPS(RUN)
#undef RUN
	default:
		return -EPROTO;
	}
}
