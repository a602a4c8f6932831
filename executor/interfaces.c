/*
 * Network interfaces that change hands: one of this network namespace is moved into another and is there what it was.
 *
 * Netlink speaks of the namespace that its socket was made in, so there is a socket on either side. The kernel takes
 * the addresses away when an interface leaves; they are read before it is brought down, which already costs those of IPv6.
 */
#include "executor.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#define SOCKET_RAW 3
#define INTERFACE_UP 1u
#define NAME_BYTES 16
#define NUMBER_LIMIT 4096
#define KEPT_LIMIT 128
#define KEPT_BYTES 128
#define REPLY_BYTES 65536

/* One message to the kernel, header first. */
struct request {
	_Alignas(NLMSG_ALIGNTO) uint8_t bytes[512];
};

/* One address: its fixed part, and the attributes that are given back as they were. */
struct kept_address {
	struct ifaddrmsg fixed;
	uint32_t size;
	_Alignas(NLMSG_ALIGNTO) uint8_t attributes[KEPT_BYTES];
};

/* What is known of the interface. */
struct interface {
	int32_t index;
	uint32_t flags;
};

/* Both ends of a move. */
struct move {
	int outside;
	int inside;
	int target;
	/* The name to be, without a template. */
	char name[NAME_BYTES];
};

static struct kept_address kept[KEPT_LIMIT];
static _Alignas(NLMSG_ALIGNTO) uint8_t reply[REPLY_BYTES];

/* Begins a message of this type; the `size` bytes of `fixed` follow the header. */
static void begin(struct request *request, uint32_t type, uint32_t flags, const void *fixed, uint32_t size)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)request->bytes;

	memset(request, 0, sizeof(*request));
	header->nlmsg_len = NLMSG_LENGTH(size);
	header->nlmsg_type = (uint16_t)type;
	header->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	memcpy(request->bytes + NLMSG_HDRLEN, fixed, size);
}

/* Adds an attribute. Assumes that it fits: names and numbers are short, and what is kept has its limit. */
static void add(struct request *request, uint32_t type, const void *data, uint32_t size)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)request->bytes;
	uint32_t at = NLMSG_ALIGN(header->nlmsg_len);
	struct rtattr attribute = { .rta_len = (uint16_t)RTA_LENGTH(size), .rta_type = (uint16_t)type };

	memcpy(request->bytes + at, &attribute, sizeof(attribute));
	memcpy(request->bytes + at + RTA_LENGTH(0), data, size);
	header->nlmsg_len = at + (uint32_t)RTA_LENGTH(size);
}

static int send_request(int netlink, const struct request *request)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)request->bytes;
	int sent = SYS(sendto, netlink, request->bytes, header->nlmsg_len, MSG_NOSIGNAL, NULL, 0);

	return sent < 0 ? sent : 0;
}

/* The next message of a reply of `size` bytes, moving `*at` past it; NULL at its end. */
static struct nlmsghdr *next_message(uint32_t size, uint32_t *at)
{
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)(reply + *at);

	if (size - *at < NLMSG_HDRLEN || header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > size - *at)
		return NULL;
	*at += NLMSG_ALIGN(header->nlmsg_len);
	if (*at > size)
		*at = size;
	return header;
}

/* The error in a message of the type NLMSG_ERROR; 0 is an acknowledgement. */
static int error_in(const struct nlmsghdr *header)
{
	int error;

	if (header->nlmsg_len < NLMSG_LENGTH(sizeof(error)))
		return -EPROTO;
	memcpy(&error, NLMSG_DATA(header), sizeof(error));
	return error;
}

/* Sends a request and takes the one message that answers it; NULL in `*answer` for an acknowledgement. */
static int ask(int netlink, const struct request *request, struct nlmsghdr **answer)
{
	uint32_t at = 0;
	int size;

	*answer = NULL;
	TRY(send_request(netlink, request));
	size = SYS(recvfrom, netlink, reply, sizeof(reply), 0, NULL, NULL);
	TRY(size);
	*answer = next_message((uint32_t)size, &at);
	if (*answer == NULL)
		return -EPROTO;
	if ((*answer)->nlmsg_type != NLMSG_ERROR)
		return 0;
	size = error_in(*answer);
	*answer = NULL;
	return size;
}

/* Sends a request that is to be acknowledged. */
static int tell(int netlink, const struct request *request)
{
	struct nlmsghdr *answer;

	return ask(netlink, request, &answer);
}

/* Finds the interface of this name; -ENODEV when there is none. */
static int find_interface(int netlink, const char *name, struct interface *found)
{
	struct ifinfomsg fixed = { .ifi_family = 0 };
	struct request request;
	struct nlmsghdr *answer;

	begin(&request, RTM_GETLINK, 0, &fixed, sizeof(fixed));
	add(&request, IFLA_IFNAME, name, (uint32_t)strlen(name) + 1);
	TRY(ask(netlink, &request, &answer));
	if (answer == NULL || answer->nlmsg_type != RTM_NEWLINK || answer->nlmsg_len < NLMSG_LENGTH(sizeof(fixed)))
		return -EPROTO;
	memcpy(&fixed, NLMSG_DATA(answer), sizeof(fixed));
	found->index = fixed.ifi_index;
	found->flags = fixed.ifi_flags;
	return 0;
}

static int set_up(int netlink, int32_t index, bool up)
{
	struct ifinfomsg fixed = { .ifi_index = index, .ifi_flags = up ? INTERFACE_UP : 0, .ifi_change = INTERFACE_UP };
	struct request request;

	begin(&request, RTM_NEWLINK, NLM_F_ACK, &fixed, sizeof(fixed));
	return tell(netlink, &request);
}

/* Keeps what `message` says of an address, when it is to be kept: permanent and of global scope. 1 when it was. */
static int keep_address(const struct nlmsghdr *message, int32_t index, struct kept_address *to)
{
	const uint8_t *at = (const uint8_t *)message + NLMSG_SPACE(sizeof(to->fixed));
	const uint8_t *end = (const uint8_t *)message + message->nlmsg_len;
	uint32_t flags;

	if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(sizeof(to->fixed)))
		return 0;
	memcpy(&to->fixed, NLMSG_DATA(message), sizeof(to->fixed));
	to->size = 0;
	flags = to->fixed.ifa_flags;
	while (at < end && (size_t)(end - at) >= sizeof(struct rtattr)) {
		struct rtattr attribute;
		size_t size;

		memcpy(&attribute, at, sizeof(attribute));
		size = RTA_ALIGN((size_t)attribute.rta_len);
		if (attribute.rta_len < sizeof(attribute) || attribute.rta_len > end - at)
			return -EPROTO;
		if (attribute.rta_type == IFA_FLAGS && attribute.rta_len == RTA_LENGTH(sizeof(flags)))
			memcpy(&flags, at + RTA_LENGTH(0), sizeof(flags));
		/* Not the label, which has the old name in it, nor the lifetimes, which are for ever. */
		if (attribute.rta_type == IFA_ADDRESS || attribute.rta_type == IFA_LOCAL || attribute.rta_type == IFA_BROADCAST ||
		    attribute.rta_type == IFA_FLAGS || attribute.rta_type == IFA_RT_PRIORITY) {
			if (to->size + size > KEPT_BYTES || size > (size_t)(end - at))
				return -E2BIG;
			memcpy(to->attributes + to->size, at, size);
			to->size += (uint32_t)size;
		}
		at += size;
	}
	return (int32_t)to->fixed.ifa_index == index && to->fixed.ifa_scope == RT_SCOPE_UNIVERSE && (flags & IFA_F_PERMANENT) != 0;
}

/* Keeps the addresses of an interface; returns how many. */
static int keep_addresses(int netlink, int32_t index)
{
	struct ifaddrmsg fixed = { .ifa_family = 0 };
	struct request request;
	int count = 0;

	begin(&request, RTM_GETADDR, NLM_F_DUMP, &fixed, sizeof(fixed));
	TRY(send_request(netlink, &request));
	for (;;) {
		struct nlmsghdr *message;
		uint32_t at = 0;
		int size = SYS(recvfrom, netlink, reply, sizeof(reply), 0, NULL, NULL);

		TRY(size);
		while ((message = next_message((uint32_t)size, &at)) != NULL) {
			int result;

			if (message->nlmsg_type == NLMSG_DONE)
				return count;
			if (message->nlmsg_type == NLMSG_ERROR)
				return error_in(message);
			if (count == KEPT_LIMIT)
				return -E2BIG;
			result = keep_address(message, index, &kept[count]);
			TRY(result);
			count += result;
		}
		if (size == 0)
			return -EPROTO;
	}
}

static int give_address(int netlink, int32_t index, const struct kept_address *address)
{
	struct ifaddrmsg fixed = address->fixed;
	struct request request;
	struct nlmsghdr *header = (struct nlmsghdr *)(void *)request.bytes;

	fixed.ifa_index = (uint32_t)index;
	begin(&request, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &fixed, sizeof(fixed));
	memcpy(request.bytes + NLMSG_ALIGN(header->nlmsg_len), address->attributes, address->size);
	header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + address->size;
	return tell(netlink, &request);
}

static int open_netlink(void)
{
	return SYS(socket, AF_NETLINK, SOCKET_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

/* Opens the network namespace of the op: by its path, or the child's. */
static int open_namespace(const char *path)
{
	char own[32] = "/proc/";
	size_t at = 6;

	if (path[0] == '\0') {
		if (self.pid == 0)
			return -ESRCH;
		at += format_decimal(own + at, (uint32_t)self.pid);
		memcpy(own + at, "/ns/net", 8);
		path = own;
	}
	return SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

/* Makes a socket in the namespace `target`. Assumes that we may come back, which whoever could go may. */
static int open_netlink_in(int target, int here)
{
	int netlink;

	TRY(SYS(setns, target, CLONE_NEWNET));
	netlink = open_netlink();
	TRY(SYS(setns, here, CLONE_NEWNET));
	return netlink;
}

/* Whether both descriptors are of one namespace; -errno when that cannot be known. */
static int same_namespace(int a, int b)
{
	struct statx left;
	struct statx right;

	TRY(SYS(statx, a, "", AT_EMPTY_PATH, STATX_INO, &left));
	TRY(SYS(statx, b, "", AT_EMPTY_PATH, STATX_INO, &right));
	return left.stx_ino == right.stx_ino && left.stx_dev_minor == right.stx_dev_minor;
}

/* Where "%d" stands in `name`; its length when nowhere. */
static size_t find_template(const char *name)
{
	size_t at = 0;

	while (name[at] != '\0' && !(name[at] == '%' && name[at + 1] == 'd'))
		at++;
	return at;
}

/* Puts the first name that is free inside into `move->name`. -EEXIST when the only one is taken. */
static int choose_name(struct move *move, const char *wish)
{
	size_t prefix = find_template(wish);
	bool is_template = wish[prefix] != '\0';
	const char *suffix = is_template ? wish + prefix + 2 : "";
	struct interface found;
	int result = 0;

	for (uint32_t number = 0; number < NUMBER_LIMIT && result == 0; number++) {
		char digits[10];
		size_t size = is_template ? format_decimal(digits, number) : 0;

		if ((number > 0 && !is_template) || prefix + size + strlen(suffix) >= NAME_BYTES)
			return -EEXIST;
		memcpy(move->name, wish, prefix);
		memcpy(move->name + prefix, digits, size);
		memcpy(move->name + prefix + size, suffix, strlen(suffix) + 1);
		result = find_interface(move->inside, move->name, &found);
	}
	return result == -ENODEV ? 0 : result == 0 ? -EEXIST : result;
}

/* Moves and renames at once: the old name may be taken on the other side. */
static int hand_over(const struct move *move, int32_t index)
{
	struct ifinfomsg fixed = { .ifi_index = index };
	uint32_t target = (uint32_t)move->target;
	struct request request;

	begin(&request, RTM_NEWLINK, NLM_F_ACK, &fixed, sizeof(fixed));
	add(&request, IFLA_IFNAME, move->name, (uint32_t)strlen(move->name) + 1);
	add(&request, IFLA_NET_NS_FD, &target, sizeof(target));
	return tell(move->outside, &request);
}

static int move_interface(const struct move *move, const struct interface *interface)
{
	struct interface moved;
	int count = keep_addresses(move->outside, interface->index);
	int result;

	TRY(count);
	TRY(set_up(move->outside, interface->index, false));
	result = hand_over(move, interface->index);
	if (result < 0) {
		/* It is still the host's, which wants it as it was. */
		if ((interface->flags & INTERFACE_UP) != 0)
			set_up(move->outside, interface->index, true);
		return result;
	}
	TRY(find_interface(move->inside, move->name, &moved));
	for (int i = 0; i < count; i++)
		TRY(give_address(move->inside, moved.index, &kept[i]));
	return set_up(move->inside, moved.index, true);
}

int op_move_interface(const struct op_move_interface *op)
{
	struct interface interface;
	struct move move = { .outside = -1 };

	if (strlen(op->name) >= NAME_BYTES || strlen(op->new_name) >= NAME_BYTES)
		return -ENODEV;
	int target OWNED = open_namespace(op->namespace);
	TRY(target);
	int here OWNED = SYS(openat, AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC, 0);
	TRY(here);
	int same = same_namespace(target, here);
	TRY(same);
	if (same != 0)
		return -EINVAL;
	int outside OWNED = open_netlink();
	TRY(outside);
	int inside OWNED = open_netlink_in(target, here);
	TRY(inside);
	move = (struct move){ .outside = outside, .inside = inside, .target = target };
	TRY(find_interface(outside, op->name, &interface));
	TRY(choose_name(&move, op->new_name));
	return move_interface(&move, &interface);
}
