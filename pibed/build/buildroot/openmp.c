/* Compiles and links only with a compiler that has OpenMP, as Buildroot asks it. */
#include <omp.h>

int main(void)
{
	return omp_get_thread_num();
}
