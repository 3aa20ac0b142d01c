program darts
  ! Four uniform numbers, three of double precision and one of single: prints their sum.
  implicit none
  real(8) :: x, y(2)
  real :: z
  call random_seed()
  call random_number(x)
  call random_number(y)
  call random_number(z)
  print '(a,f20.16)', 'sum ', x + y(1) + y(2) + real(z, 8)
end program
