/* Waiting for the child: one poll() over its pidfd, the control socket and the relayed descriptors. */
#include "executor.h"

#include <asm/poll.h>
#include <linux/signalfd.h>

/* How long a terminal that nobody has open is left alone. */
#define REST_NS 100000000

/* Part of a command that has arrived; a command is a signal number of 4 bytes. */
static struct {
	uint8_t bytes[4];
	uint32_t length;
} command;

/* Gives the child a signal. A change of the window is none for a child with a terminal, but a new size for that. */
static void deliver(uint32_t signal)
{
	if (signal == SIGWINCH && resize_terminal())
		return;
	/* A number that is no signal is the caller's mistake, and its end no reason to give up the child. */
	SYS(pidfd_send_signal, self.pidfd, signal, NULL, 0);
}

/* Delivers the signals that are asked for. False when nobody can ask any more. */
static bool obey(void)
{
	uint32_t signal;
	int taken = SYS(recvfrom, self.control, command.bytes + command.length, sizeof(command.bytes) - command.length,
			MSG_DONTWAIT, NULL, NULL);

	if (taken == -EAGAIN || taken == -EINTR)
		return true;
	if (taken <= 0)
		return false;
	command.length += (uint32_t)taken;
	if (command.length < sizeof(command.bytes))
		return true;
	command.length = 0;
	memcpy(&signal, command.bytes, sizeof(signal));
	deliver(signal);
	return true;
}

/* Opens a descriptor that signals sent to us can be read from: they are blocked, and meant for the child. */
int open_signals(void)
{
	uint64_t mask = ~(1ull << (SIGCHLD - 1) | 1ull << (SIGPIPE - 1) | 1ull << (SIGURG - 1));

	return SYS(signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Passes on one signal. */
static void pass_on(int signals)
{
	struct signalfd_siginfo info;

	if (SYS(read, signals, &info, sizeof(info)) == (int)sizeof(info))
		deliver(info.ssi_signo);
}

/* Runs until the pidfd says that the child has ended. */
static int watch(void)
{
	int signals OWNED = open_signals();
	struct pollfd polls[4 + RELAY_POLLS] = {
		{ .fd = self.pidfd, .events = POLLIN },
		{ .fd = self.control, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
		{ .fd = self.compiler, .events = POLLIN },
	};

	for (;;) {
		struct __kernel_timespec rest = { .tv_nsec = REST_NS };
		int result;

		relay_prepare(polls + 4);
		result = SYS(ppoll, polls, 4 + RELAY_POLLS, relay_rests() ? &rest : NULL, NULL, 0);
		if (result == -EINTR)
			continue;
		if (result < 0)
			return result;
		if (polls[1].revents != 0 && !obey()) {
			polls[1].fd = -1;
			/* Whoever minds the caller's terminal is gone, and its shell is back. */
			give_back_callers_terminal();
			relay_leave_terminal();
		}
		if (polls[2].revents != 0)
			pass_on(signals);
		if (polls[3].revents != 0) {
			reap_compiler();
			polls[3].fd = -1;
		}
		relay_move(polls + 4);
		if (polls[0].revents != 0)
			return 0;
	}
}

int op_supervise(const struct op_supervise *op UNUSED)
{
	int result;

	if (self.pid == 0)
		return -ESRCH;
	/* A JavaScript engine that ends puts the terminal back as it found it, which must not happen after we made it raw. */
	if (self.terminal >= 0 && self.compiler >= 0)
		reap_compiler();
	take_callers_terminal();
	result = watch();
	if (result == 0)
		result = SYS(wait4, self.pid, &self.status, 0, NULL);
	if (result >= 0) {
		self.pid = 0;
		self.has_status = true;
		relay_drain();
	}
	give_back_callers_terminal();
	TRY(result);
	/* A container that was started after `await-ready` can still fail to execute; nobody else would hear of it. */
	if (find_child_failure(&result))
		return result;
	report(REPORT_EXITED, self.index, (uint32_t)self.status);
	return 0;
}
