/*
 * What the parts of the executor share: its state and the ops.
 *
 * Ops return 0 or -errno, as the kernel does. There is one thread and no signal handler.
 */
#ifndef GANTRY_EXECUTOR_H
#define GANTRY_EXECUTOR_H

#include "program.h"
#include "report.h"

/* Where whoever starts the executor puts the program and the socket; a front has chosen other places (front.c). */
#define PROGRAM_FD 3
#define CONTROL_FD 4
#define EXIT_FAILED 125
#define PATH_BYTES 4096

/* The state that one op leaves for another. Descriptors are -1 when there is none. */
struct executor {
	struct program program;
	/* Index of the op that is run or has just failed; of the whole program. */
	uint32_t index;
	/* Where the program is read. */
	int input;
	/* Report socket; a child has none. */
	int control;
	/* The front's compiler, until it is reaped; others have none. */
	int compiler;
	int lock;
	/* The working root. */
	int root;
	/* The / that `enter-root` left. */
	int outer_root;
	/* The read end of the fifo for `await-start`, and the file that a failure after it is written to. */
	int start;
	int failure;
	/* The socket that the child's terminal is to be sent to. */
	int console;
	/* The master of the child's terminal, in the parent of a child in the foreground. */
	int terminal;
	/* How many descriptors from 3 on are the caller's and the child's `exec` keeps. */
	uint32_t passed;
	/* A connection for `seccomp-listener`, made for the next child. */
	int listener;
	/* Our end of the channel between parent and child (child.c). */
	int sync;
	bool is_child;
	/* Our end of the channel to criu (criu.c). */
	int channel;
	/* A child's pid as its parent sees it; 0 before `await-parent`. */
	uint32_t pid_outside;
	/* A child has told its parent that it is ready: it may outlive it from then on. */
	bool told_ready;
	/* The child; `pid` is 0 when there is none or it is reaped. */
	int pidfd;
	int pid;
	/* The process that `open-process` found; `target_pid` is 0 when there is none. */
	int target;
	uint32_t target_pid;
	/* What the front was told to send. */
	uint32_t signal;
	bool has_status;
	int status;
	bool cleaned;
	/* The umask to give to the container: ours is 0, so that modes are what the program says. */
	uint32_t umask;
};

extern struct executor self;

#define DECLARE_OP(number, name) int op_##name(const struct op_##name *op);
GANTRY_OPS(DECLARE_OP)
#undef DECLARE_OP

/* main.c */
void executor_main(char **argv, char **envp) NORETURN;
int run_section(uint32_t number, bool tolerant);
void quit(int code) NORETURN;

/* dispatch.c */
int run_op(uint16_t code, const union any_op *op);

/* seal.c */
int seal_executable(char **argv, char **envp, int (*before)(char **argv, char **envp));

/* front.c */
bool is_front(char **argv);
int start_compiler(char **argv, char **envp);
void settle_front(char **argv, char **envp);
bool find_prepared(char **argv, char **envp);
void reap_compiler(void);
int leave_teller(void);
void tell_by_compiler(uint32_t index, uint32_t error);
void warn_by_compiler(uint32_t number, uint32_t error);

/* A call of the front, as far as it is understood without the compiler; texts that were not given are NULL. */
struct call {
	const char *root;
	const char *verb;
	const char *id;
	const char *log;
	const char *log_level;
	const char *rootless;
	uint32_t signal;
	bool force;
	/* `create` or `run`, to which the rest belongs. */
	bool makes;
	const char *bundle;
	const char *pid_file;
	const char *console_socket;
	const char *preserved_fds;
	/* One letter for each that matters, in the order given. */
	char switches[8];
};

/* call.c */
bool parse_call(char **words, char **envp, struct call *call);
const char *find_variable(char **envp, const char *name);

/* prepared.c */
bool append(char *path, size_t *at, const char *text);
bool is_ours(int fd, uint32_t kind, uint32_t forbidden);
int open_prepared(const struct call *call);

/* cached.c */
int open_cached(const struct call *call, char **envp, int compiler);

/* child.c */
bool find_child_failure(int *error);
void kill_child(void);
int tell_parent_executing(void);
int hand_parent_terminal(int master);
int hand_parent_channel(int channel);

/* criu.c */
void give_up_criu(void);

/* descriptors.c */
int send_message(int socket, const void *bytes, size_t size, int fd);
int receive_message(int socket, void *bytes, size_t size, uint32_t flags, int *fd);
void close_passed_in_parent(void);

/* terminal.c */
int send_master(int master);
void take_callers_terminal(void);
void give_back_callers_terminal(void);
bool resize_terminal(void);

/* mounts.c */
int move_clone(int fd, int place);

/* seccomp.c: what `exec` does with a filter that was kept */
bool has_filter(void);
int load_filter(void);

/* relay.c, supervise.c */
struct pollfd;
#define RELAY_POLLS 6
void close_relays_in_child(void);
int return_stdio_after_clone(void);
int open_signals(void);
int relay_terminal(int master);
bool relay_rests(void);
void relay_leave_terminal(void);
void relay_prepare(struct pollfd *polls);
void relay_move(const struct pollfd *polls);
void relay_drain(void);

/* A directory whose times are to be given back; `fd`, which may be of O_PATH, is -1 when they are not. */
struct kept_times {
	int fd;
	struct __kernel_timespec times[2];
};

/* paths.c: paths go through the working root when there is one */
int open_path(const char *path, uint64_t flags);
int open_path_without_links(const char *path, uint64_t flags);
int open_parent(const char *path, const char **name);
int keep_times(struct kept_times *kept, int fd);
int give_times_back(const struct kept_times *kept, int result);
int make_path_keeping_times(const char *path, uint32_t kind, uint32_t mode);
int make_path(const char *path, uint32_t kind, uint32_t mode);

/* mounts.c, mount-parts.c, copy-up.c */
#define ATTACH_ON_PROC 1u
#define ATTACH_WITHOUT_LINKS 2u
int attach(int mount, const char *target, uint32_t flags);
int configure(int context, char **options);
int new_mount(const char *fstype, const char *source, char **options, uint64_t attributes);
int set_attributes(int mount, struct mount_attr *change, uint32_t recursive);
int find_slot(uint32_t number);
void forget_slots(void);

/* files.c */
int open_process_file(int pid, const char *file, int flags);
int write_once(int fd, const char *text, size_t size);
int write_whole(const char *path, const char *text, size_t size, uint32_t mode);
int read_file(int fd, char *buffer, size_t room);
int write_path(const char *path, const char *text);
size_t format_decimal(char *out, uint32_t value);

int write_standard(int fd, const char *text, size_t size);

/* lifecycle.c */
int open_recorded(const char *record, uint32_t *pid);

/* process.c */
void reset_signals(void);

/* directory.c */
#define ENTRIES_BYTES 4096
struct directory {
	int fd;
	/* Unread part of `entries`. */
	int at;
	int size;
	_Alignas(struct directory_entry) char entries[ENTRIES_BYTES];
};
void begin_entries(struct directory *directory, int fd);
struct directory_entry *next_entry(struct directory *directory, int *result);
int open_entry(int directory, const char *name, uint64_t flags);

/* remove.c */
int remove_at(int directory, const char *name);
int clear_directory(int directory, char **keep);

/* tree.c: the rest of a `file` op, whose data arrives in chunks */
int file_chunk(uint64_t offset, const uint8_t *data, uint32_t size);
int file_end(void);

/* Leaves the function with the error of `expression`, when it is one. */
#define TRY(expression)                   \
	do {                              \
		int tried = (expression); \
		if (tried < 0)            \
			return tried;     \
	} while (0)

/* `int fd OWNED = ...;` is closed when its block is left, unless it is an error or close_fd() was there before. */
#define OWNED __attribute__((cleanup(close_fd)))

/* Closes what is open; for descriptors that may be -1 or -errno. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		SYS(close, *fd);
	*fd = -1;
}

static inline bool same_text(const char *a, const char *b)
{
	size_t size = strlen(a);

	return size == strlen(b) && memcmp(a, b, size) == 0;
}

/* "." and "..", which every directory lists. */
static inline bool is_dots(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* The device number as mknod() takes it and the kernel keeps it. */
static inline uint32_t device_number(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12);
}

#endif
