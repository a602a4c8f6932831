/* Reports to the caller. */
#include "executor.h"

/* Sends one report. Nobody may listen, and a reader that is stuck must not stop us: failures are not looked at. */
void report(uint32_t kind, uint32_t index, uint32_t value)
{
	uint32_t words[4] = { kind, index, value, 0 };

	if (self.control < 0)
		return;
	if (SYS(sendto, self.control, words, sizeof(words), MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0) == -ENOTSOCK)
		SYS(write, self.control, words, sizeof(words));
}

int op_report(const struct op_report *op)
{
	report(REPORT_REACHED, self.index, op->value);
	return 0;
}
