/*
 * One method call to systemd over D-Bus, on a socket of our own. The message comes ready from the compiler; here are
 * only the greeting of the protocol, the child's pid, and as much reading as tells success from failure:
 *
 *     us                                          systemd or the bus
 *       | -- NUL, AUTH EXTERNAL uid, BEGIN ------>  |  proves who we are by the socket's credentials
 *       | <-- OK guid --------------------------- |
 *       | -- greeting messages, the call -------->  |
 *       | <-- method return (job) or error ------- |  by the serial of the call
 *       | <-- signal JobRemoved (job, result) ---- |  the unit's processes are in its cgroup
 *
 * The format of messages: D-Bus Specification, "Message Protocol". Offsets are checked before each read.
 */
#include "executor.h"

#include <asm/poll.h>

#define HEADER_SIZE 16
#define FIELDS_LIMIT 4096
#define BODY_LIMIT 4096
#define CALL_LIMIT_S 30
#define CLOCK_MONOTONIC_NUMBER 1

enum message_type { METHOD_RETURN = 2, ERROR = 3, SIGNAL = 4 };
enum header_field { FIELD_MEMBER = 3, FIELD_ERROR_NAME = 4, FIELD_REPLY_SERIAL = 5 };

struct socket_address {
	uint16_t family;
	char path[108];
};

/* The message read last. Texts end in NUL; `member` and `error` are "" when it has none. */
static struct {
	uint8_t type;
	uint32_t reply_serial;
	const char *member;
	const char *error;
	uint32_t body_size;
	uint8_t fields[FIELDS_LIMIT];
	uint8_t body[BODY_LIMIT];
} message;

/* When waiting ends. */
static struct __kernel_timespec deadline;

/* Waits until `fd` is ready for `events`, until the deadline. */
static int await(int fd, short events)
{
	struct pollfd poll = { .fd = fd, .events = events };
	struct __kernel_timespec now;
	struct __kernel_timespec left;
	int ready;

	TRY(SYS(clock_gettime, CLOCK_MONOTONIC_NUMBER, &now));
	left.tv_sec = deadline.tv_sec - now.tv_sec;
	if (left.tv_sec < 0)
		return -ETIMEDOUT;
	left.tv_nsec = 0;
	ready = SYS(ppoll, &poll, 1, &left, NULL, 0);
	return ready == 0 ? -ETIMEDOUT : ready;
}

static int send_all(int fd, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	while (size > 0) {
		int sent;

		TRY(await(fd, POLLOUT));
		sent = SYS(sendto, fd, at, size, MSG_NOSIGNAL, NULL, 0);
		TRY(sent);
		at += sent;
		size -= (size_t)sent;
	}
	return 0;
}

/* Receives `size` bytes, of which the first `room` are kept. */
static int receive(int fd, void *to, size_t room, size_t size)
{
	uint8_t dropped[256];
	size_t at = 0;

	while (at < size) {
		bool keep = at < room;
		size_t most = keep ? (size < room ? size : room) - at :
				     (size - at < sizeof(dropped) ? size - at : sizeof(dropped));
		int taken;

		TRY(await(fd, POLLIN));
		taken = SYS(recvfrom, fd, keep ? (uint8_t *)to + at : dropped, most, 0, NULL, NULL);
		TRY(taken);
		if (taken == 0)
			return -ECONNRESET;
		at += (size_t)taken;
	}
	return 0;
}

/* Says who we are, as the credentials of the socket say too, and begins the exchange of messages. */
static int authenticate(int fd)
{
	static const char hex[] = "0123456789abcdef";
	char line[64] = "\0AUTH EXTERNAL ";
	char digits[10];
	size_t count = format_decimal(digits, (uint32_t)SYS(geteuid));
	size_t at = 15;
	char first[2];

	for (size_t i = 0; i < count; i++) {
		line[at++] = hex[(uint8_t)digits[i] >> 4];
		line[at++] = hex[digits[i] & 15];
	}
	memcpy(line + at, "\r\nBEGIN\r\n", 9);
	TRY(send_all(fd, line, at + 9));
	TRY(receive(fd, first, 2, 2));
	for (char byte = 0; byte != '\n';)
		TRY(receive(fd, &byte, 1, 1));
	return first[0] == 'O' && first[1] == 'K' ? 0 : -EACCES;
}

static uint32_t word_at(const uint8_t *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* Takes a string (or object path) at `at` of the `size` bytes, which start at a multiple of 8; NULL when it does not fit. */
static const char *take_string(const uint8_t *bytes, uint32_t size, uint32_t *at)
{
	uint32_t start = (*at + 3) & ~3u;
	uint32_t length;

	if (start > size || size - start < 5)
		return NULL;
	length = word_at(bytes + start);
	if (length > size - start - 5 || bytes[start + 4 + length] != '\0')
		return NULL;
	*at = start + 4 + length + 1;
	return (const char *)bytes + start + 4;
}

/* Reads the header field at `at`, a multiple of 8, and moves behind it. */
static bool take_field(uint32_t size, uint32_t *at)
{
	const uint8_t *field = message.fields + *at;
	const char *text = "";

	/* Code, signature (one letter for all fields that there are), value: a signature has two bytes at least. */
	if (size - *at < 6 || field[1] != 1 || field[3] != 0)
		return false;
	*at += 4;
	if (field[2] == 'u' && size - *at >= 4) {
		if (field[0] == FIELD_REPLY_SERIAL)
			message.reply_serial = word_at(field + 4);
		*at += 4;
	} else if (field[2] == 'g') {
		*at += 2u + field[4];
	} else if (field[2] == 's' || field[2] == 'o') {
		text = take_string(message.fields, size, at);
	} else {
		return false;
	}
	if (text == NULL)
		return false;
	if (field[0] == FIELD_MEMBER)
		message.member = text;
	if (field[0] == FIELD_ERROR_NAME)
		message.error = text;
	*at = (*at + 7) & ~7u;
	return true;
}

/* Reads the next message. */
static int read_message(int fd)
{
	uint8_t header[HEADER_SIZE];
	uint32_t fields;
	uint32_t padded;

	TRY(receive(fd, header, sizeof(header), sizeof(header)));
	fields = word_at(header + 12);
	if (header[0] != 'l' || fields > FIELDS_LIMIT - 8)
		return -EPROTO;
	padded = (fields + 7) & ~7u;
	TRY(receive(fd, message.fields, sizeof(message.fields), padded));
	message.type = header[1];
	message.reply_serial = 0;
	message.member = "";
	message.error = "";
	for (uint32_t at = 0; at < fields;)
		if (!take_field(fields, &at))
			return -EPROTO;
	message.body_size = word_at(header + 4);
	TRY(receive(fd, message.body, BODY_LIMIT, message.body_size));
	if (message.body_size > BODY_LIMIT)
		message.body_size = BODY_LIMIT;
	return 0;
}

/* What an error of D-Bus or systemd is as errno. */
static int error_number(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} known[] = {
		{ "org.freedesktop.systemd1.UnitExists", EEXIST },
		{ "org.freedesktop.systemd1.NoSuchUnit", ENOENT },
		{ "org.freedesktop.DBus.Error.AccessDenied", EACCES },
		{ "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", EACCES },
		{ "org.freedesktop.DBus.Error.InvalidArgs", EINVAL },
		{ "org.freedesktop.DBus.Error.PropertyReadOnly", EROFS },
		{ "org.freedesktop.DBus.Error.UnknownMethod", ENOSYS },
		{ "org.freedesktop.DBus.Error.ServiceUnknown", ENOTCONN },
		{ "org.freedesktop.DBus.Error.Timeout", ETIMEDOUT },
		{ "org.freedesktop.DBus.Error.LimitsExceeded", ENOBUFS },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (same_text(name, known[i].name))
			return -known[i].number;
	return -EREMOTEIO;
}

/* Sends the call and reads up to its reply. */
static int call(int fd, const uint8_t *bytes, uint32_t size)
{
	uint32_t serial = word_at(bytes + 8);

	TRY(send_all(fd, bytes, size));
	do
		TRY(read_message(fd));
	while (message.reply_serial != serial || (message.type != METHOD_RETURN && message.type != ERROR));
	return message.type == ERROR ? error_number(message.error) : 0;
}

/* After a reply that names a job: waits for the signal that it is done. */
static int await_job(int fd)
{
	char job[256];
	uint32_t at = 0;
	const char *path = take_string(message.body, message.body_size, &at);

	if (path == NULL || strlen(path) >= sizeof(job))
		return -EPROTO;
	memcpy(job, path, strlen(path) + 1);
	for (;;) {
		const char *result;

		TRY(read_message(fd));
		if (message.type != SIGNAL || !same_text(message.member, "JobRemoved"))
			continue;
		/* JobRemoved: number, path, unit, result. */
		at = 4;
		path = take_string(message.body, message.body_size, &at);
		if (path == NULL || !same_text(path, job))
			continue;
		result = take_string(message.body, message.body_size, &at);
		if (result != NULL)
			result = take_string(message.body, message.body_size, &at);
		if (result == NULL)
			return -EPROTO;
		return same_text(result, "done") ? 0 : same_text(result, "timeout") ? -ETIMEDOUT : -ECANCELED;
	}
}

static int connect_to(const char *path)
{
	struct socket_address address = { .family = AF_UNIX };
	size_t size = strlen(path);
	int fd OWNED = SYS(socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int connected;

	TRY(fd);
	if (size >= sizeof(address.path))
		return -ENAMETOOLONG;
	memcpy(address.path, path, size);
	TRY(SYS(connect, fd, &address, sizeof(address)));
	TRY(authenticate(fd));
	connected = fd;
	fd = -1;
	return connected;
}

/* Puts the child's pid into the call; the program's memory is ours to write. */
static int put_pid(const struct op_systemd_call *op)
{
	uint32_t pid = (uint32_t)self.pid;

	if (op->pid_at == 0)
		return 0;
	if (pid == 0)
		return -ESRCH;
	if (op->pid_at > op->call.length || op->call.length - op->pid_at < sizeof(pid))
		return -EINVAL;
	memcpy((uint8_t *)(uintptr_t)op->call.bytes + op->pid_at, &pid, sizeof(pid));
	return 0;
}

int op_systemd_call(const struct op_systemd_call *op)
{
	int result;

	if (op->call.length < HEADER_SIZE)
		return -EINVAL;
	TRY(put_pid(op));
	TRY(SYS(clock_gettime, CLOCK_MONOTONIC_NUMBER, &deadline));
	deadline.tv_sec += CALL_LIMIT_S;
	int fd OWNED = connect_to(op->socket);
	TRY(fd);
	TRY(send_all(fd, op->greeting.bytes, op->greeting.length));
	result = call(fd, op->call.bytes, op->call.length);
	if (result == -EEXIST && op->recovery.length >= HEADER_SIZE) {
		/* A failed unit of that name may be left from before; when it cannot be forgotten, the call fails again. */
		call(fd, op->recovery.bytes, op->recovery.length);
		result = call(fd, op->call.bytes, op->call.length);
	}
	if (result == -ENOENT && op->missing != 0)
		return 0;
	TRY(result);
	return op->waits == 0 ? 0 : await_job(fd);
}
