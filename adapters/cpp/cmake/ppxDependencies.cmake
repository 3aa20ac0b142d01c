# What the client needs, for the build in this tree and for the installed package alike.

# Finds PkgConfig::PPX_ZMQ and PPX_FLATBUFFERS_INCLUDE; out is what is missing, in words, or "".
macro(ppx_find_dependencies out)
  set(${out} "")
  find_package(PkgConfig QUIET)
  if(NOT PKG_CONFIG_FOUND)
    set(${out} "pkg-config not found (Debian: pkg-config)")
  else()
    pkg_check_modules(PPX_ZMQ QUIET IMPORTED_TARGET libzmq)
    if(NOT PPX_ZMQ_FOUND)
      set(${out} "libzmq not found by pkg-config (Debian: libzmq3-dev)")
    endif()
  endif()
  find_path(PPX_FLATBUFFERS_INCLUDE flatbuffers/flatbuffers.h)
  if(NOT PPX_FLATBUFFERS_INCLUDE)
    set(${out} "flatbuffers/flatbuffers.h not found (Debian: libflatbuffers-dev)")
  endif()
endmacro()

# Finds PkgConfig::PPX_UNWIND, if it is there.
macro(ppx_find_libunwind)
  pkg_check_modules(PPX_UNWIND QUIET IMPORTED_TARGET libunwind)
endmacro()
