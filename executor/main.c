/*
 * The life of the executor: seal, read, check, run, report.
 *
 * Whole programs run section 0; after a failure the child is killed and section 1 cleans up. Streams run as they come.
 */
#include "executor.h"

#include <linux/mman.h>
#include <linux/prctl.h>

struct executor self = {
	.input = PROGRAM_FD,
	.control = -1,
	.compiler = -1,
	.lock = -1,
	.root = -1,
	.outer_root = -1,
	.start = -1,
	.failure = -1,
	.target = -1,
	.console = -1,
	.terminal = -1,
	.listener = -1,
	.sync = -1,
	.channel = -1,
	.pidfd = -1,
};

/* Ends this process without returning to anybody. */
void quit(int code)
{
	for (;;)
		SYS(exit_group, code);
}

/* Runs section `number` of a checked program. A tolerant run reports failures as warnings and goes on. */
int run_section(uint32_t number, bool tolerant)
{
	const struct section *section = &self.program.sections[number];
	uint8_t *at = self.program.bytes + section->offset;

	for (uint32_t i = 0; i < section->count; i++) {
		struct record_header header;
		struct reader reader = { .base = at, .at = RECORD_HEADER_BYTES, .decoded_before = true };
		union any_op op;
		int result = -EPROTO;

		memcpy(&header, at, sizeof(header));
		reader.length = header.length;
		self.index = section->first + i;
		if (decode_op(header.code, &reader, &op))
			result = run_op(header.code, &op);
		if (result < 0 && !tolerant)
			return result;
		if (result < 0) {
			report(REPORT_WARNED, section->first + i, (uint32_t)-result);
			warn_by_compiler(i, (uint32_t)-result);
		}
		at += header.length;
	}
	return 0;
}

/* Runs the cleanup section once, by the op or after a failure; what fails there is a warning. */
static void clean_up(void)
{
	if (self.cleaned || self.program.section_count <= SECTION_CLEANUP)
		return;
	self.cleaned = true;
	run_section(SECTION_CLEANUP, true);
}

int op_cleanup(const struct op_cleanup *op UNUSED)
{
	clean_up();
	return 0;
}

int op_exit(const struct op_exit *op)
{
	quit((int)op->code);
}

/* Our exit code after a program that did not fail. */
static int exit_code(void)
{
	int signal = self.status & 0x7f;

	if (!self.has_status)
		return 0;
	return signal == 0 ? (self.status >> 8) & 0xff : 128 + signal;
}

/* Reads `size` bytes of the program; -ENODATA when it ends before. */
static int read_exactly(uint8_t *to, uint32_t size)
{
	while (size > 0) {
		int taken = SYS(read, self.input, to, size);

		if (taken == 0)
			return -ENODATA;
		if (taken < 0)
			return taken;
		to += taken;
		size -= (uint32_t)taken;
	}
	return 0;
}

/* Reads the rest of a whole program, whose `header` is read already, into the only memory that is ever allocated. */
static bool read_program(const struct program_header *header)
{
	uint8_t byte;
	long memory;

	if (header->size < HEADER_BYTES || header->size > PROGRAM_LIMIT)
		return false;
	memory = SYS_LONG(mmap, NULL, header->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory < 0 && memory > -4096)
		return false;
	self.program.bytes = (uint8_t *)memory;
	self.program.size = (uint32_t)header->size;
	memcpy(self.program.bytes, header, sizeof(*header));
	if (read_exactly(self.program.bytes + HEADER_BYTES, self.program.size - HEADER_BYTES) < 0)
		return false;
	/* A byte after the end would mean that the caller and we disagree about the program. */
	return SYS(read, self.input, &byte, 1) == 0;
}

/* Runs a whole program and ends. */
static void NORETURN run_whole(const struct program_header *header)
{
	struct verdict verdict = { .kind = REPORT_MALFORMED };
	int result;

	if (!read_program(header) || !check_program(&self.program, &verdict)) {
		report(verdict.kind, verdict.index, verdict.value);
		quit(EXIT_FAILED);
	}
	close_fd(&self.input);
	result = run_section(SECTION_MAIN, false);
	if (result == 0)
		quit(exit_code());
	/* The child's own failure is the cause, ours (such as ESRCH for its pid) would be only the consequence. */
	find_child_failure(&result);
	report(REPORT_FAILED, self.index, (uint32_t)-result);
	give_up_criu();
	kill_child();
	uint32_t failed = self.index;

	clean_up();
	tell_by_compiler(failed, (uint32_t)-result);
	quit(EXIT_FAILED);
}

/* Makes this process what the ops may assume: not dumpable, no signals, umask 0, nothing that an exec would pass on. */
static void settle(void)
{
	uint64_t all = ~0ull;

	SYS(fcntl, self.input, F_SETFD, FD_CLOEXEC);
	if (self.control >= 0)
		SYS(fcntl, self.control, F_SETFD, FD_CLOEXEC);
	SYS(rt_sigprocmask, 0, &all, NULL, sizeof(all));
	/* Executed from a descriptor, the process would be called by its number. */
	SYS(prctl, PR_SET_NAME, "gantry-executor");
	/* SECURITY: processes of a container that we join must not reach into us by ptrace or /proc. */
	SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	self.umask = (uint32_t)SYS(umask, 0);
}

/* Opens /dev/null as each descriptor below `count` that is missing, so that none of ours takes its place. */
static void fill_descriptors(int count)
{
	int fd;

	do
		fd = SYS(openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
	while (fd >= 0 && fd < count);
	if (fd >= 0)
		SYS(close, fd);
}

/* Called once with what the kernel passed. */
void executor_main(char **argv, char **envp)
{
	struct program_header header;
	struct verdict verdict;
	int result;
	bool front = is_front(argv);
	bool prepared = false;

	if (!front && SYS(fcntl, PROGRAM_FD, F_GETFD) < 0)
		quit(EXIT_FAILED);
	if (!front && SYS(fcntl, CONTROL_FD, F_GETFD) >= 0)
		self.control = CONTROL_FD;
	if (front)
		fill_descriptors(3);
	if (front)
		prepared = find_prepared(argv, envp);
	/* What was prepared enters no container, so there is nobody whom the executable would have to be sealed against. */
	result = prepared ? 3 : seal_executable(argv, envp, front ? start_compiler : NULL);
	if (result < 0) {
		report(REPORT_FAILED, NO_OP, (uint32_t)-result);
		quit(EXIT_FAILED);
	}
	if (result < 3)
		fill_descriptors(3);
	if (front && !prepared)
		settle_front(argv, envp);
	settle();
	if (read_exactly((uint8_t *)&header, sizeof(header)) < 0 || !header_is_good(&header)) {
		report(REPORT_MALFORMED, 0, 0);
		quit(EXIT_FAILED);
	}
	if (header.kind == KIND_WHOLE)
		run_whole(&header);
	verdict = (struct verdict){ .kind = REPORT_MALFORMED };
	if (header.size == 0 && header.sections == 0 && header.ops == 0)
		run_stream(self.input, &verdict);
	report(verdict.kind, verdict.index, verdict.value);
	quit(verdict.kind == REPORT_FINISHED ? 0 : EXIT_FAILED);
}
