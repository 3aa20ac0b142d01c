"""The optional module of samplers: without a C++ compiler the package is installed without it, and draws tensors of some families more slowly."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "ppxsim._samplers",
            ["src/ppxsim/_samplers.cpp"],
            depends=["src/ppxsim/random.hpp"],
            language="c++",
            extra_compile_args=["-std=c++17", "-O2", "-ffp-contract=off", "-fvisibility=hidden"],
            optional=True,
        )
    ]
)
