/*
 * criu, spoken to over a channel to the child that has become it ("criu swrk FD"):
 *
 *     we                                  criu
 *       | -- request --------------------> |
 *       | <-- NOTIFY script, pid --------- |  as often as it likes; with "orphan-pts-master" comes a terminal
 *       | -- NOTIFY success -------------> |
 *       | <-- DUMP, PRE_DUMP or RESTORE -- |  the result
 *       | (closes the channel)             |  ends
 *
 * The messages are protocol buffers (criu: images/rpc.proto). The request comes from TypeScript as bytes; of an answer
 * we look for five fields, within the bounds of the message.
 */
#include "executor.h"

#include <asm/poll.h>

#define ANSWER_BYTES 8192
#define TYPE_NOTIFY 6
#define NO_STATUS UINT32_MAX
/* How long criu may take to undo what it has begun. */
#define PATIENCE_SECONDS 30
#define ERRNO_LIMIT 4096
#define HIGH_FD 64
#define WNOHANG 1

/* Field numbers of criu_resp, criu_notify and criu_restore_resp. */
enum answer_field { ANSWER_TYPE = 1, ANSWER_SUCCESS = 2, ANSWER_RESTORE = 4, ANSWER_NOTIFY = 5, ANSWER_ERRNO = 7 };
enum notify_field { NOTIFY_SCRIPT = 1, NOTIFY_PID = 2 };
enum restore_field { RESTORE_PID = 1 };

/* A criu_req of type NOTIFY with notify_success set. */
static const uint8_t agreement[] = { 0x08, TYPE_NOTIFY, 0x18, 0x01 };

static struct {
	/* A request is out, and criu has not ended. */
	bool is_talking;
	/* Its last notification waits for our answer. */
	bool is_waiting;
	/* The first process of what it restores, in our pid namespace. */
	uint32_t pid;
} criu;

/* A part of a message, or one of its fields: a number, or bytes. */
struct piece {
	const uint8_t *at;
	const uint8_t *end;
};

struct field {
	uint32_t number;
	uint64_t value;
	struct piece bytes;
};

struct answer {
	uint32_t type;
	bool success;
	uint32_t error;
	uint32_t pid;
	struct piece script;
	uint8_t bytes[ANSWER_BYTES];
};

static int take_varint(struct piece *rest, uint64_t *value)
{
	*value = 0;
	for (uint32_t shift = 0; rest->at < rest->end && shift < 64; shift += 7) {
		uint8_t byte = *rest->at++;

		*value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return 0;
	}
	return -EBADMSG;
}

/* Takes the next field: 1, or 0 at the end. Fields of fixed size are passed over, as we know none. */
static int take_field(struct piece *rest, struct field *field)
{
	uint64_t key = 0;
	uint64_t size = 0;

	if (rest->at == rest->end)
		return 0;
	TRY(take_varint(rest, &key));
	*field = (struct field){ .number = (uint32_t)(key >> 3) };
	switch (key & 7) {
	case 0:
		TRY(take_varint(rest, &field->value));
		return 1;
	case 1:
		size = 8;
		break;
	case 2:
		TRY(take_varint(rest, &size));
		break;
	case 5:
		size = 4;
		break;
	default:
		return -EBADMSG;
	}
	if (size > (uint64_t)(rest->end - rest->at))
		return -EBADMSG;
	field->bytes = (struct piece){ rest->at, rest->at + size };
	rest->at += size;
	return 1;
}

static int read_notify(struct piece rest, struct answer *answer)
{
	struct field field;
	int result;

	while ((result = take_field(&rest, &field)) > 0) {
		if (field.number == NOTIFY_SCRIPT)
			answer->script = field.bytes;
		else if (field.number == NOTIFY_PID)
			answer->pid = (uint32_t)field.value;
	}
	return result;
}

static int read_restored(struct piece rest, struct answer *answer)
{
	struct field field;
	int result;

	while ((result = take_field(&rest, &field)) > 0)
		if (field.number == RESTORE_PID)
			answer->pid = (uint32_t)field.value;
	return result;
}

static int read_answer(struct piece rest, struct answer *answer)
{
	struct field field;
	int result;

	while ((result = take_field(&rest, &field)) > 0) {
		if (field.number == ANSWER_TYPE)
			answer->type = (uint32_t)field.value;
		else if (field.number == ANSWER_SUCCESS)
			answer->success = field.value != 0;
		else if (field.number == ANSWER_ERRNO)
			answer->error = (uint32_t)field.value;
		else if (field.number == ANSWER_NOTIFY)
			TRY(read_notify(field.bytes, answer));
		else if (field.number == ANSWER_RESTORE)
			TRY(read_restored(field.bytes, answer));
	}
	return result;
}

/* Receives one answer; `*fd` is the descriptor that came with it, or -1. */
static int hear_criu(struct answer *answer, int *fd)
{
	int size;

	answer->type = 0;
	answer->success = false;
	answer->error = 0;
	answer->pid = 0;
	answer->script = (struct piece){ NULL, NULL };
	size = receive_message(self.channel, answer->bytes, sizeof(answer->bytes), 0, fd);
	TRY(size);
	/* It has ended without a word. */
	if (size == 0)
		return -ECONNRESET;
	if (size == (int)sizeof(answer->bytes))
		return -EMSGSIZE;
	return read_answer((struct piece){ answer->bytes, answer->bytes + size }, answer);
}

static bool is_named(struct piece script, const char *name)
{
	size_t size = strlen(name);

	return (size_t)(script.end - script.at) == size && size > 0 && memcmp(script.at, name, size) == 0;
}

/* Does what a notification asks for. `*fd` is kept when it is wanted. */
static int obey(const struct answer *answer, uint32_t status, int *fd)
{
	if (answer->pid != 0)
		criu.pid = answer->pid;
	if (is_named(answer->script, "status-ready") && status != NO_STATUS)
		return write_once((int)status, "\0", 1);
	if (!is_named(answer->script, "orphan-pts-master") || *fd < 0)
		return 0;
	if (self.console >= 0)
		return send_master(*fd);
	TRY(relay_terminal(*fd));
	close_fd(&self.terminal);
	self.terminal = *fd;
	*fd = -1;
	return 0;
}

static int agree(void)
{
	criu.is_waiting = false;
	return send_message(self.channel, agreement, sizeof(agreement), -1);
}

int op_request_criu(const struct op_request_criu *op)
{
	if (self.channel < 0)
		return -EBADF;
	criu.is_talking = true;
	criu.is_waiting = false;
	criu.pid = 0;
	return send_message(self.channel, op->request.bytes, op->request.length, -1);
}

int op_await_criu(const struct op_await_criu *op)
{
	static struct answer answer;

	if (!criu.is_talking)
		return -EBADF;
	if (criu.is_waiting)
		TRY(agree());
	for (;;) {
		int fd OWNED = -1;

		TRY(hear_criu(&answer, &fd));
		if (!answer.success)
			return answer.error > 0 && answer.error < ERRNO_LIMIT ? -(int)answer.error : -EPROTO;
		TRY(obey(&answer, op->status, &fd));
		if (answer.type != TYPE_NOTIFY)
			return op->notice[0] == '\0' ? 0 : -EPROTO;
		criu.is_waiting = true;
		if (is_named(answer.script, op->notice)) {
			self.target_pid = criu.pid;
			return 0;
		}
		TRY(agree());
	}
}

/* Closes the channel, which tells criu to give up what is not complete, and lets it end. */
static void leave_criu(void)
{
	struct pollfd poll = { .fd = self.pidfd, .events = POLLIN };
	struct __kernel_timespec limit = { .tv_sec = PATIENCE_SECONDS };

	if (!criu.is_talking)
		return;
	criu.is_talking = false;
	close_fd(&self.channel);
	while (SYS(ppoll, &poll, 1, &limit, NULL, 0) == -EINTR)
		;
}

/* After a failure: what criu has made beside itself, it ends; but not when it was killed. Only a process that is our child is meant. */
void give_up_criu(void)
{
	int status;

	if (!criu.is_talking)
		return;
	leave_criu();
	if (criu.pid == 0 || SYS(wait4, criu.pid, &status, WNOHANG, NULL) != 0)
		return;
	SYS(kill, criu.pid, SIGKILL);
	SYS(wait4, criu.pid, &status, 0, NULL);
}

int op_end_criu(const struct op_end_criu *op)
{
	uint32_t pid = criu.pid;

	if (!criu.is_talking)
		return -EBADF;
	leave_criu();
	kill_child();
	close_fd(&self.pidfd);
	self.has_status = false;
	self.target_pid = 0;
	if (op->adopt == 0)
		return 0;
	if (pid == 0)
		return -ESRCH;
	self.pidfd = SYS(pidfd_open, pid, 0);
	TRY(self.pidfd);
	self.pid = (int)pid;
	return 0;
}

/* What is opened for the program that is executed next stays open, with what lies between it and the standard descriptors. */
static int keep(int from, uint32_t fd)
{
	TRY(from == (int)fd ? SYS(fcntl, from, F_SETFD, 0) : SYS(dup3, from, fd, 0));
	self.passed = fd - 2;
	return 0;
}

/*
 * The pair is made here and not by the parent, since criu opens directories that a request names by number in whoever made it,
 * and mounts in them: they have to lie in its own mount namespace.
 */
int op_pass_channel(const struct op_pass_channel *op)
{
	int pair[2];
	int result;

	TRY(SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	int theirs OWNED = pair[0];
	int ours OWNED = pair[1];
	TRY(hand_parent_channel(theirs));
	/* Out of the way of what the program is to find at low numbers. */
	result = SYS(fcntl, self.sync, F_DUPFD_CLOEXEC, HIGH_FD);
	TRY(result);
	close_fd(&self.sync);
	self.sync = result;
	result = keep(ours, op->fd);
	if (ours == (int)op->fd)
		ours = -1;
	return result;
}

int op_keep_descriptor(const struct op_keep_descriptor *op)
{
	int fd OWNED = SYS(openat, AT_FDCWD, op->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	int result;

	TRY(fd);
	result = keep(fd, op->fd);
	if (fd == (int)op->fd)
		fd = -1;
	return result;
}
