package main

// Go's runtime reserves address space before main begins, and ends with pages of addresses where it gets none. What runs
// before it is C: a word in time.

/*
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { least_megabytes = 4000 };

__attribute__((constructor)) static void check_address_space(void) {
	struct rlimit r;
	if (getrlimit(RLIMIT_AS, &r) != 0 || r.rlim_cur == RLIM_INFINITY || r.rlim_cur >= (rlim_t)least_megabytes << 20) return;
	fprintf(stderr,
		"ppx: the address space of this process is limited to %llu MB, and ppx reserves %d MB (it uses far less): raise the limit, "
		"with ulimit -v %d or where the batch system sets it\n",
		(unsigned long long)(r.rlim_cur >> 20), (int)least_megabytes, least_megabytes * 1024);
	_exit(1);
}
*/
import "C"
