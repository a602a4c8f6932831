/*
 * libseccomp's filter for a profile, called as runc calls it.
 *
 * Reads lines from standard input until the end of each profile, "end", and writes the length (4 bytes) and the program:
 *     default ACTION OPTIMIZE
 *     arch NAME
 *     rule NAME ACTION COUNT [INDEX OP VALUE VALUETWO]...
 * Actions are SCMP_ACT_* numbers; OP is a number of enum scmp_compare. A refused rule makes the length 0.
 */
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void finish(scmp_filter_ctx filter, int failed)
{
	static char bytes[1 << 20];
	uint32_t size = 0;
	int fd = memfd_create("filter", 0);

	if (!failed && seccomp_export_bpf(filter, fd) == 0)
		size = (uint32_t)pread(fd, bytes, sizeof(bytes), 0);
	fwrite(&size, sizeof(size), 1, stdout);
	fwrite(bytes, 1, size, stdout);
	fflush(stdout);
	close(fd);
	seccomp_release(filter);
}

int main(void)
{
	char word[32], name[128];
	scmp_filter_ctx filter = NULL;
	int failed = 0;

	while (scanf("%31s", word) == 1) {
		if (strcmp(word, "default") == 0) {
			unsigned action, optimize;
			if (scanf("%u %u", &action, &optimize) != 2)
				return 2;
			filter = seccomp_init(action);
			seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, optimize);
			failed = 0;
		} else if (strcmp(word, "arch") == 0) {
			if (scanf("%127s", name) != 1)
				return 2;
			int result = seccomp_arch_add(filter, seccomp_arch_resolve_name(name));
			if (result < 0 && result != -17)
				failed = 1;
		} else if (strcmp(word, "rule") == 0) {
			unsigned action, count;
			struct scmp_arg_cmp args[6];
			if (scanf("%127s %u %u", name, &action, &count) != 3 || count > 6)
				return 2;
			for (unsigned i = 0; i < count; i++) {
				unsigned index, op;
				unsigned long long a, b;
				if (scanf("%u %u %llu %llu", &index, &op, &a, &b) != 4)
					return 2;
				args[i] = (struct scmp_arg_cmp){ index, op, a, b };
			}
			int number = seccomp_syscall_resolve_name(name);
			if (number == __NR_SCMP_ERROR)
				continue;
			if (seccomp_rule_add_array(filter, action, number, count, args) < 0)
				failed = 1;
		} else if (strcmp(word, "end") == 0) {
			finish(filter, failed);
		} else {
			return 2;
		}
	}
	return 0;
}
