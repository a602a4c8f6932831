/*
 * The kernel's ABI: raw system calls, and the structures and flags that older headers lack.
 * Nothing here needs a libc; results are those of the kernel, so failures are negative errno numbers.
 */
#ifndef GANTRY_KERNEL_H
#define GANTRY_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/time_types.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the program format is little endian, and so must the machine be"
#endif

#define UNUSED __attribute__((unused))
#define NORETURN __attribute__((noreturn))

/* Numbers from 424 on are the same on all architectures. */
#ifndef __NR_openat2
#define __NR_openat2 437
#endif
#ifndef __NR_close_range
#define __NR_close_range 436
#endif
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif

#ifndef MOUNT_ATTR_SIZE_VER0
struct mount_attr {
	uint64_t attr_set;
	uint64_t attr_clr;
	uint64_t propagation;
	uint64_t userns_fd;
};
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef MFD_CLOEXEC
#define MFD_CLOEXEC 0x0001U
#define MFD_ALLOW_SEALING 0x0002U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

/* The kernel's header leaves these to a C library that is there. */
#ifndef S_IFMT
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000
#endif

/* Not in the headers that the kernel exports. */
#define AF_UNIX 1
#define AF_INET 2
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_SEQPACKET 5
#define SOCK_CLOEXEC O_CLOEXEC
#define MSG_DONTWAIT 0x40
#define MSG_NOSIGNAL 0x4000
#define MSG_CMSG_CLOEXEC 0x40000000
#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define SIGCHLD 17
#define SIGPIPE 13
#define SIGURG 23
#define SIGWINCH 28
#define SIGKILL 9
#define SIGCONT 18
#define SIGSTOP 19
#define SIGTTOU 22
#define SIGWINCH 28
#define UMOUNT_DETACH 2
#define FILE_SYSTEM_PROC 0x9fa0
#define FILE_SYSTEM_DEVPTS 0x1cd1

/* sendmsg() and recvmsg() with room for one descriptor; the layout is that of 64-bit machines. */
struct message_parts {
	void *address;
	uint64_t address_size;
	struct message_part {
		void *bytes;
		uint64_t size;
	} *parts;
	uint64_t part_count;
	void *control;
	uint64_t control_size;
	uint32_t flags;
};

struct passed_descriptor {
	uint64_t size;
	int32_t level;
	int32_t type;
	int32_t fd;
	int32_t padding;
};
#define PASSED_DESCRIPTOR_BYTES 20

struct directory_entry {
	uint64_t ino;
	int64_t offset;
	uint16_t size;
	uint8_t type;
	char name[];
};
#define ENTRY_DIRECTORY 4

/* One system call of up to six arguments. Assumes nothing; every error comes back as -errno. */
static inline long raw_syscall(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
#else
#error "no system call sequence for this architecture"
#endif
}

/* Every result that we look at, but that of mmap(), fits an int. */
static inline int int_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	return (int)raw_syscall(number, a, b, c, d, e, f);
}

/* SYS(openat, AT_FDCWD, path, flags, 0): missing arguments are 0. */
#define SYS(name, ...) SYSCALL_PICK(int_syscall, __NR_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define SYS_LONG(name, ...) SYSCALL_PICK(raw_syscall, __NR_##name, ##__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define SYSCALL_PICK(call, number, a, b, c, d, e, f, ...) \
	call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#ifdef GANTRY_HOSTED
#include <string.h>
#else
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *left, const void *right, size_t size);
size_t strlen(const char *text);
#endif

#endif
