#include "hearth/backend/cuda/architectures.h"

#include <gtest/gtest.h>

namespace hearth::cuda {
namespace {

TEST(cudaArchitectures, MachineCodeIsForItsGeneration) {
  EXPECT_TRUE(runs_on("80-real", 80));
  EXPECT_TRUE(runs_on("80-real", 86));
  EXPECT_TRUE(runs_on("75-real,80-real", 89));
  EXPECT_FALSE(runs_on("80-real", 90));
  EXPECT_FALSE(runs_on("86-real", 80));
  EXPECT_FALSE(runs_on("100-real", 90));
  EXPECT_FALSE(runs_on("100-real", 120));
}

TEST(cudaArchitectures, PtxIsForAllThatCameLater) {
  EXPECT_TRUE(runs_on("90-virtual", 120));
  EXPECT_TRUE(runs_on("90", 90));
  EXPECT_TRUE(runs_on("90", 120));
  EXPECT_FALSE(runs_on("90", 89));
}

TEST(cudaArchitectures, ALetterMeansOneCapability) {
  EXPECT_TRUE(runs_on("90a-real", 90));
  EXPECT_FALSE(runs_on("90a-real", 91));
  EXPECT_FALSE(runs_on("90a", 100));
}

TEST(cudaArchitectures, TheReleaseRunsFromAmpereOn) {
  const char* release = "80-real,86-real,89-real,90-real,100-real,120";
  for (int capability : {80, 86, 87, 89, 90, 100, 103, 120, 121, 130})
    EXPECT_TRUE(runs_on(release, capability)) << capability;
  for (int capability : {61, 70, 75}) EXPECT_FALSE(runs_on(release, capability)) << capability;
}

TEST(cudaArchitectures, WordsAreNotJudged) {
  EXPECT_TRUE(runs_on("native", 61));
  EXPECT_FALSE(runs_on("", 90));
}

}  // namespace
}  // namespace hearth::cuda
