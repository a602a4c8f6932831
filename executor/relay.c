/*
 * Relayed standard descriptors: one channel each between the outside (what the caller gave us) and a pipe of ours that
 * the container holds.
 *
 *     0: outside --read--> buffer --write--> pipe      1, 2: pipe --read--> buffer --write--> outside
 *
 * With a terminal, its master stands for the pipes of 0 and 1, and there is no 2.
 *
 * The outside is shared with strangers, so its flags are never changed: it is read and written only when poll() says
 * so, and written without waiting where the kernel can do that, at most PIPE_BUF at a time where it cannot.
 */
#include "executor.h"

#include <asm/ioctls.h>
#include <asm/poll.h>
#include <linux/uio.h>

#define CHANNEL_BYTES 16384
#define PIPE_BUF 4096
#define HIGH_FD 10

/* More than the kernel keeps in a pseudo terminal (drivers/tty/tty_buffer.c, TTYB_DEFAULT_MEM_LIMIT, and one line). */
#define TERMINAL_BYTES (128u << 10)

struct channel {
	/* The descriptor that the container's end stands in for. */
	bool active;
	/* Where `outside` has to wait until the clone; afterwards it is back at its number. */
	int outside;
	int pipe;
	/* The outside supports RWF_NOWAIT. */
	bool no_wait;
	/* The outside is gone: what comes is thrown away, so that the container does not stop. */
	bool discard;
	uint32_t at;
	uint32_t length;
	uint8_t buffer[CHANNEL_BYTES];
};

static struct channel channels[3];

/* The pipes are a terminal's master. */
static bool is_terminal;

/* Nobody has the terminal open at the moment, which need not be its end: an init closes it and opens it again. */
static bool resting;

/* The outside can be written without waiting, as pipes and sockets can. */
static int can_write_without_waiting(int fd)
{
	struct statx found;

	TRY(SYS(statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &found));
	return (found.stx_mode & S_IFMT) == S_IFIFO || (found.stx_mode & S_IFMT) == S_IFSOCK;
}

/* Puts a fresh pipe in the place of standard descriptor `fd`; the original waits, out of the container's sight. */
int op_relay_stdio(const struct op_relay_stdio *op)
{
	struct channel *channel;
	int no_wait;
	int pipe[2];

	if (op->fd > 2)
		return -EBADF;
	channel = &channels[op->fd];
	if (channel->active || self.pid != 0)
		return -EBUSY;
	no_wait = can_write_without_waiting((int)op->fd);
	TRY(no_wait);
	channel->outside = SYS(fcntl, op->fd, F_DUPFD_CLOEXEC, HIGH_FD);
	TRY(channel->outside);
	TRY(SYS(pipe2, pipe, O_CLOEXEC));
	channel->pipe = op->fd == 0 ? pipe[1] : pipe[0];
	int theirs OWNED = op->fd == 0 ? pipe[0] : pipe[1];
	/* Each end of a pipe has flags of its own, so the container's end still blocks. */
	TRY(SYS(fcntl, channel->pipe, F_SETFL, O_NONBLOCK));
	TRY(SYS(dup3, theirs, op->fd, 0));
	channel->active = true;
	channel->no_wait = no_wait != 0;
	return 0;
}

/* Relays standard input and output to and from `master`, which stays the caller's. */
int relay_terminal(int master)
{
	if (channels[0].active || channels[1].active)
		return -EBUSY;
	TRY(SYS(fcntl, master, F_SETFL, O_RDWR | O_NONBLOCK));
	for (int i = 0; i < 2; i++) {
		struct channel *channel = &channels[i];
		int no_wait = can_write_without_waiting(i);

		TRY(no_wait);
		channel->no_wait = no_wait != 0;
		channel->outside = i;
		channel->pipe = SYS(fcntl, master, F_DUPFD_CLOEXEC, HIGH_FD);
		TRY(channel->pipe);
		channel->active = true;
	}
	is_terminal = true;
	return 0;
}

/* Closes the executor's side of all channels in a new child. */
void close_relays_in_child(void)
{
	for (uint32_t i = 0; i < 3; i++) {
		if (!channels[i].active)
			continue;
		SYS(close, channels[i].outside);
		SYS(close, channels[i].pipe);
	}
}

/* Closes the container's ends in the parent by putting the originals back; only then can either side see the other's end. */
int return_stdio_after_clone(void)
{
	for (int i = 0; i < 3; i++) {
		if (!channels[i].active)
			continue;
		TRY(SYS(dup3, channels[i].outside, i, O_CLOEXEC));
		SYS(close, channels[i].outside);
		channels[i].outside = i;
	}
	return 0;
}

/* Ends a channel. For standard input that is the container's end of file. */
static void finish(struct channel *channel)
{
	SYS(close, channel->pipe);
	channel->active = false;
}

/* Reads into the empty buffer from whatever side is the source, which poll() called readable. */
static void fill(struct channel *channel, uint32_t limit)
{
	int source = channel == &channels[0] ? channel->outside : channel->pipe;
	int taken = SYS(read, source, channel->buffer, limit);

	if (taken == -EAGAIN || taken == -EINTR)
		return;
	if (taken == -EIO && source == channel->pipe && is_terminal) {
		resting = true;
		return;
	}
	if (taken <= 0) {
		finish(channel);
		return;
	}
	channel->at = 0;
	channel->length = channel->discard ? 0 : (uint32_t)taken;
}

/* Writes to the outside without waiting when that is possible, else at most what a writable pipe always takes. */
static int write_outside(struct channel *channel)
{
	struct iovec part = { .iov_base = channel->buffer + channel->at, .iov_len = channel->length - channel->at };
	int written;

	if (channel->no_wait) {
		written = SYS(pwritev2, channel->outside, &part, 1, -1, -1, RWF_NOWAIT);
		if (written != -EOPNOTSUPP)
			return written;
		channel->no_wait = false;
	}
	return SYS(write, channel->outside, part.iov_base, part.iov_len < PIPE_BUF ? part.iov_len : PIPE_BUF);
}

/* Moves the buffer on to the side that it is for, which poll() called writable. */
static void flush(struct channel *channel)
{
	bool input = channel == &channels[0];
	int written = input ? SYS(write, channel->pipe, channel->buffer + channel->at, channel->length - channel->at)
			    : write_outside(channel);

	if (written == -EAGAIN || written == -EINTR)
		return;
	if (written >= 0) {
		channel->at += (uint32_t)written;
		if (channel->at == channel->length)
			channel->length = 0;
		return;
	}
	if (input && written == -EIO && is_terminal) {
		resting = true;
		return;
	}
	if (input) {
		finish(channel);
		return;
	}
	channel->discard = true;
	channel->length = 0;
}

/* Reads no more of the caller's terminal, whose keys are its shell's again. */
void relay_leave_terminal(void)
{
	if (is_terminal && channels[0].active)
		finish(&channels[0]);
}

/* Fills RELAY_POLLS entries: the source of channel i in 2i, its sink in 2i + 1. */
void relay_prepare(struct pollfd *polls)
{
	for (int i = 0; i < 3; i++) {
		struct channel *channel = &channels[i];
		struct pollfd *source = &polls[2 * i];
		struct pollfd *sink = &polls[2 * i + 1];

		*source = (struct pollfd){ .fd = -1 };
		*sink = (struct pollfd){ .fd = -1 };
		if (!channel->active || resting)
			continue;
		if (channel->length == 0)
			*source = (struct pollfd){ .fd = i == 0 ? channel->outside : channel->pipe, .events = POLLIN };
		/* With no events the sink of standard input still tells when the container has closed it; a terminal's output does. */
		if (channel->length > 0 || (i == 0 && !is_terminal))
			*sink = (struct pollfd){
				.fd = i == 0 ? channel->pipe : channel->outside,
				.events = channel->length > 0 ? POLLOUT : 0,
			};
	}
}

/* Whether relay_prepare() has left out a terminal that nobody has open, which is to be tried again after a while. */
bool relay_rests(void)
{
	return resting;
}

/* Moves what poll() has found on the entries that relay_prepare() made. */
void relay_move(const struct pollfd *polls)
{
	resting = false;
	for (int i = 0; i < 3; i++) {
		struct channel *channel = &channels[i];

		if (polls[2 * i].revents != 0) {
			fill(channel, CHANNEL_BYTES);
			if (channel->active && channel->length > 0 && (i == 0 || channel->no_wait))
				flush(channel);
		} else if (polls[2 * i + 1].revents != 0) {
			if (channel->length == 0)
				finish(channel);
			else
				flush(channel);
		}
	}
}

/* Writes out what the buffer holds, waiting for the outside. */
static void flush_all(struct channel *channel)
{
	while (channel->length > 0) {
		struct pollfd sink = { .fd = channel->outside, .events = POLLOUT };

		if (SYS(ppoll, &sink, 1, NULL, NULL, 0) < 0)
			return;
		flush(channel);
	}
}

/* Passes on what is left in a terminal; a read waits for the kernel to have moved it to our side (n_tty_read()). */
static void drain_terminal(struct channel *channel)
{
	for (uint32_t moved = 0; moved < TERMINAL_BYTES && channel->active; moved += channel->at) {
		fill(channel, CHANNEL_BYTES);
		if (channel->length == 0)
			return;
		flush_all(channel);
	}
}

/*
 * After the child's end: passes on what it has left in the pipes, and no more, since a process that it left behind
 * might write for ever. What standard input still holds has nobody to read it.
 */
void relay_drain(void)
{
	for (uint32_t i = 1; i < 3; i++) {
		struct channel *channel = &channels[i];
		uint32_t left = 0;

		if (!channel->active)
			continue;
		flush_all(channel);
		if (is_terminal)
			drain_terminal(channel);
		else if (SYS(ioctl, channel->pipe, FIONREAD, &left) < 0)
			left = 0;
		while (left > 0 && channel->active) {
			uint32_t size = left < CHANNEL_BYTES ? left : CHANNEL_BYTES;

			fill(channel, size);
			left -= channel->length > 0 ? channel->length : size;
			flush_all(channel);
		}
		if (channel->active)
			finish(channel);
	}
}
