#include "textflag.h"

// func framePCs(pcs *uintptr, max int) int
//
// Follows the chain of frame pointers, which the Go compiler maintains. In assembly, because the
// goroutine's stack must not move during the walk: there is no preemption here.
TEXT ·framePCs(SB), NOSPLIT|NOFRAME, $0-24
	MOVQ pcs+0(FP), DI
	MOVQ max+8(FP), CX
	MOVQ BP, AX
	XORQ SI, SI

next:
	TESTQ AX, AX
	JZ    done
	CMPQ  SI, CX
	JGE   done
	MOVQ  8(AX), DX
	MOVQ  DX, (DI)(SI*8)
	INCQ  SI
	MOVQ  (AX), AX
	JMP   next

done:
	MOVQ SI, ret+16(FP)
	RET
