/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events of kmod_paging, below /sys/kernel/tracing/events/paging.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM paging

#if !defined(PAGING_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define PAGING_TRACE_H

#include <linux/mm_types.h>
#include <linux/tracepoint.h>

/* An mmap() call has ended; error is 0 or a negative error number. */
TRACE_EVENT(mmap,
	    TP_PROTO(const struct vm_area_struct *vma, bool demand_paging, int error),
	    TP_ARGS(vma, demand_paging, error),
	    TP_STRUCT__entry(__field(unsigned long, start)
			     __field(unsigned long, end)
			     __field(unsigned long, pgoff)
			     __field(bool, demand_paging)
			     __field(int, error)
	    ),
	    TP_fast_assign(__entry->start = vma->vm_start;
			   __entry->end = vma->vm_end;
			   __entry->pgoff = vma->vm_pgoff;
			   __entry->demand_paging = demand_paging;
			   __entry->error = error;
	    ),
	    TP_printk("start=0x%lx end=0x%lx pgoff=%lu demand_paging=%d error=%d",
		      __entry->start, __entry->end, __entry->pgoff,
		      __entry->demand_paging, __entry->error)
);

/* A page has been allocated for a mapping: its number there and its frame. */
TRACE_EVENT(allocate,
	    TP_PROTO(unsigned long index, unsigned long pfn),
	    TP_ARGS(index, pfn),
	    TP_STRUCT__entry(__field(unsigned long, index)
			     __field(unsigned long, pfn)
	    ),
	    TP_fast_assign(__entry->index = index;
			   __entry->pfn = pfn;
	    ),
	    TP_printk("index=%lu pfn=0x%lx", __entry->index, __entry->pfn)
);

/* A fault has been handled; index is the page's number in its mapping. */
TRACE_EVENT(fault,
	    TP_PROTO(unsigned long address, unsigned long index, vm_fault_t result),
	    TP_ARGS(address, index, result),
	    TP_STRUCT__entry(__field(unsigned long, address)
			     __field(unsigned long, index)
			     __field(unsigned int, result)
	    ),
	    TP_fast_assign(__entry->address = address;
			   __entry->index = index;
			   __entry->result = (__force unsigned int)result;
	    ),
	    TP_printk("address=0x%lx index=%lu result=%s",
		      __entry->address, __entry->index,
		      __print_flags(__entry->result, "|",
				    { (__force unsigned long)VM_FAULT_OOM, "OOM" },
				    { (__force unsigned long)VM_FAULT_SIGBUS, "SIGBUS" },
				    { (__force unsigned long)VM_FAULT_NOPAGE, "NOPAGE" }))
);

/* A VMA goes; refs is how many others hold its pages, unless one goes at the same moment. */
TRACE_EVENT(close,
	    TP_PROTO(const struct vm_area_struct *vma, unsigned int refs),
	    TP_ARGS(vma, refs),
	    TP_STRUCT__entry(__field(unsigned long, start)
			     __field(unsigned long, end)
			     __field(unsigned int, refs)
	    ),
	    TP_fast_assign(__entry->start = vma->vm_start;
			   __entry->end = vma->vm_end;
			   __entry->refs = refs;
	    ),
	    TP_printk("start=0x%lx end=0x%lx refs=%u",
		      __entry->start, __entry->end, __entry->refs)
);

#endif /* PAGING_TRACE_H */

/* Found through the include path that Kbuild sets for this folder. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE paging_trace

#include <trace/define_trace.h>
